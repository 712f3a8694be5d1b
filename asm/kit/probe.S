/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * klpkit_probe(save, func): calls a function only to see which implementation answers. The function's first block calls
 * klpkit_block(), which notes who called it and comes back here with klpkit_leave(save): no line of the function runs,
 * so that looking changes nothing.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/nospec-branch.h>

SYM_FUNC_START(klpkit_probe)
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, (%rdi)
	mov %rsi, %rax
	xor %edi, %edi
	CALL_NOSPEC rax
.Lrestore:
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	RET
SYM_FUNC_END(klpkit_probe)

SYM_FUNC_START(klpkit_leave)
	mov (%rdi), %rsp
	jmp .Lrestore
SYM_FUNC_END(klpkit_leave)
STACK_FRAME_NON_STANDARD klpkit_leave

.section .note.GNU-stack, "", @progbits
