// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel's trampolines (arch/x86/kernel/ftrace_64.S) name and livepatching does not use. Not by <linux/ftrace.h>: the types
 * differ between releases.
 */
#include <linux/bug.h>

/* kernel/trace/ftrace.c: the ops of ftrace_caller itself, of which each trampoline has its own. */
void *function_trace_op;

/* kernel/trace/fgraph.c: the engine has no graph tracer, so nothing returns into return_to_handler. */
unsigned long ftrace_return_to_handler(void *regs);
unsigned long ftrace_return_to_handler(void *regs)
{
	BUG_ON(regs);
	return 0;
}
