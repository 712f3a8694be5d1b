// SPDX-License-Identifier: GPL-2.0-only
/*
 * Further users of fentry sites besides livepatches: call-backs of ftrace_ops in guest code, and direct trampolines as in
 * BPF. Scenarios and tests register them.
 */
#include <linux/compiler.h>

struct ftrace_ops;
struct ftrace_regs;

long weigh(long x);

long tracer_calls;
long recursive_calls;
long direct_calls;
long last_result;

/* A call-back that calls no traceable function. */
notrace void tracer_func(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	tracer_calls++;
}

/* A call-back that calls a traced function: attached to weigh() without protection, it would never end. */
notrace void recursive_func(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	recursive_calls++;
	weigh(0);
}

notrace __used void note_call(long x)
{
	direct_calls++;
}

notrace __used void note_result(long result)
{
	last_result = result;
}

#ifdef __CET__
#define ENDBR "	endbr64\n"
#define FENTRY_END "9"
#else
#define ENDBR
#define FENTRY_END "5"
#endif

/* Called from the site: counts the call, then continues at its return address, in the traced function. */
asm(
"	.text\n"
"	.globl direct_tramp\n"
"	.type direct_tramp, @function\n"
"direct_tramp:\n"
"	.cfi_startproc\n"
	ENDBR
"	pushq %rdi\n"
"	.cfi_adjust_cfa_offset 8\n"
"	call note_call\n"
"	popq %rdi\n"
"	.cfi_adjust_cfa_offset -8\n"
"	ret\n"
"	.cfi_endproc\n"
"	.size direct_tramp, . - direct_tramp\n"
);

/*
 * Two trampolines that call the traced function and store its result, then return to the caller (fexit). The first calls a
 * fixed function, so that a livepatch has no effect; the second calls the return address (BPF_TRAMP_F_ORIG_STACK).
 */
#define CALLING(name, how)					\
asm(								\
"	.text\n"						\
"	.globl " name "\n"					\
"	.type " name ", @function\n"				\
name ":\n"							\
"	.cfi_startproc\n"					\
	ENDBR							\
"	pushq %rdi\n"						\
"	.cfi_adjust_cfa_offset 8\n"				\
"	call note_call\n"					\
"	movq (%rsp), %rdi\n"					\
	how							\
"	movq %rax, (%rsp)\n"					\
"	movq %rax, %rdi\n"					\
"	call note_result\n"					\
"	popq %rax\n"						\
"	.cfi_adjust_cfa_offset -8\n"				\
"	addq $8, %rsp\n"					\
"	.cfi_adjust_cfa_offset -8\n"				\
"	ret\n"							\
"	.cfi_endproc\n"						\
"	.size " name ", . - " name "\n"				\
)
CALLING("direct_tramp_orig", "	call funcA + " FENTRY_END "\n");
CALLING("direct_tramp_stack", "	movq 8(%rsp), %rax\n	call *%rax\n");
