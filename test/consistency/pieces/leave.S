/* SPDX-License-Identifier: GPL-2.0-only */
/* leave() ends in a call of a function that does not return, and the next function begins right behind it, without padding. */
	.text
	.globl leave
	.type leave, @function
leave:
	.cfi_startproc
1:	call __fentry__
	call never_back
	.cfi_endproc
	.size leave, .-leave
	.globl behind
	.type behind, @function
behind:
	.cfi_startproc
	ret
	.cfi_endproc
	.size behind, .-behind
	.globl never_back
	.type never_back, @function
never_back:
	.cfi_startproc
	mov $1000000, %edi
	call msleep
	jmp never_back
	.cfi_endproc
	.size never_back, .-never_back
	.section __mcount_loc, "a"
	.quad 1b
