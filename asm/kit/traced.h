/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included before every traced source. gcc's -fsanitize-coverage=trace-pc calls a function in every block; this gives it a name that neither
 * CONFIG_KCOV's has nor objtool knows (it would demand that the function calls nothing). clang has no such way: there it keeps its name.
 */
#ifndef __clang__
void __sanitizer_cov_trace_pc(void) __asm__("klpkit_block");
#endif
