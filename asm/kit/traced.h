/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included before every traced source. gcc's -fsanitize-coverage=trace-pc calls a function in every block; this gives it a name that neither
 * CONFIG_KCOV's has nor objtool knows (it would demand that the function calls nothing). clang has no such way: there it keeps its name.
 */
#ifndef __clang__
void __sanitizer_cov_trace_pc(void) __asm__("klpkit_block");
#endif

/*
 * What ftrace must not trace is no implementation of a patched function: it is part of a tracer or of a trampoline, where a task must
 * not be stopped. So no block of it calls klpkit_block().
 */
#undef notrace
#ifdef __clang__
#define notrace __attribute__((no_instrument_function, no_sanitize("coverage")))
#else
#define notrace __attribute__((no_instrument_function, no_sanitize_coverage))
#endif
