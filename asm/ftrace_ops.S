/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The call-backs that stand for others (C in the kernel: kernel/trace/ftrace.c). All of them get (ip, parent_ip, ops, fregs),
 * and the first word of a struct ftrace_ops is its func. Assembled by Keystone when a machine starts.
 *
 * trace_test_and_set_recursion, trace_clear_recursion and ftrace_next_ops are gates. They change no register but %rax;
 * ftrace_next_ops also %rdx.
 */
.set TRACE_LIST_START, 5

/* For a site with several ops, and for ftrace_caller: calls each that traces the site, the newest first. */
ftrace_ops_list_func:
UNWIND_HINT rsp+8
	subq $40, %rsp
UNWIND_HINT rsp+48
	movq %rdi, (%rsp)
	movq %rsi, 8(%rsp)
	movq %rcx, 16(%rsp)
	movl $TRACE_LIST_START, %edx
	call trace_test_and_set_recursion
	testq %rax, %rax
	js .Llist_out
	movq %rax, 32(%rsp)
	xorl %edx, %edx
.Llist_next:
	movq (%rsp), %rdi
	/* The ops behind that in %rdx, and in %rax its func: 0 at the end. */
	call ftrace_next_ops
	testq %rax, %rax
	je .Llist_done
	movq %rdx, 24(%rsp)
	movq 8(%rsp), %rsi
	movq 16(%rsp), %rcx
	call *%rax
	movq 24(%rsp), %rdx
	jmp .Llist_next
.Llist_done:
	movq 32(%rsp), %rdi
	call trace_clear_recursion
.Llist_out:
	addq $40, %rsp
UNWIND_HINT rsp+8
	ret

/* For a single ops with RECURSION: calls it unless it is running already. */
ftrace_ops_assist_func:
UNWIND_HINT rsp+8
	subq $24, %rsp
UNWIND_HINT rsp+32
	movq %rdx, 8(%rsp)
	movl $TRACE_LIST_START, %edx
	call trace_test_and_set_recursion
	testq %rax, %rax
	js .Lassist_out
	movq %rax, (%rsp)
	movq 8(%rsp), %rdx
	call *(%rdx)
	movq (%rsp), %rdi
	call trace_clear_recursion
.Lassist_out:
	addq $24, %rsp
UNWIND_HINT rsp+8
	ret
