/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel patches away at boot (arch/x86/lib/retpoline.S): a return, and an indirect call or jump per register. And static
 * calls of the preemption model, none of which does anything here: the engine preempts by itself.
 */
#include <linux/linkage.h>
#include <asm/nospec-branch.h>
#include <asm/unwind_hints.h>

	.section .text, "ax"

.macro A_FUNCTION name
	.globl \name
	.type \name, @function
\name:
.endm

A_FUNCTION __x86_return_thunk
	UNWIND_HINT_FUNC
	ANNOTATE_UNRET_SAFE
	ret
	int3
	.size __x86_return_thunk, . - __x86_return_thunk

.macro INDIRECT_THUNK reg
A_FUNCTION __x86_indirect_thunk_\reg
	UNWIND_HINT_FUNC
	ANNOTATE_RETPOLINE_SAFE
	jmp *%\reg
	int3
	.size __x86_indirect_thunk_\reg, . - __x86_indirect_thunk_\reg
.endm

	.irp reg, rax, rcx, rdx, rbx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	INDIRECT_THUNK \reg
	.endr

	.irp name, preempt_schedule, preempt_schedule_notrace, cond_resched, might_resched
A_FUNCTION __SCT__\name
	UNWIND_HINT_FUNC
	ANNOTATE_UNRET_SAFE
	ret
	int3
	.size __SCT__\name, . - __SCT__\name
	.endr
