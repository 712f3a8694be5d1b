/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The call-backs that call the call-backs of other ops (C in the kernel: kernel/trace/ftrace.c). All of them get
 * (ip, parent_ip, ops, fregs), and the first word of a struct ftrace_ops is its func. npm run build:objects assembles this file.
 *
 * trace_test_and_set_recursion, trace_clear_recursion and ftrace_next_ops are gates of the kind that changes no register,
 * so that a call through here stays fast: they return their results on the stack.
 */
.set TRACE_LIST_START, 5

/* For a site with several ops, and for ftrace_caller: calls each ops that traces the site, the newest first. */
ftrace_ops_list_func:
UNWIND_HINT rsp+8
	subq $40, %rsp
UNWIND_HINT rsp+48
	movq %rdi, (%rsp)
	movq %rsi, 8(%rsp)
	movq %rcx, 16(%rsp)
	/* The recursion bit, negative for a recursion. */
	leaq 32(%rsp), %rdi
	movl $TRACE_LIST_START, %esi
	call trace_test_and_set_recursion
	cmpq $0, 32(%rsp)
	js .Llist_out
	movq $0, 24(%rsp)
.Llist_next:
	movq (%rsp), %rdi
	/* Replaces an ops by the next one that traces the site: 0 by the first one, the last one by 0. */
	leaq 24(%rsp), %rsi
	call ftrace_next_ops
	movq 24(%rsp), %rdx
	testq %rdx, %rdx
	je .Llist_done
	movq 8(%rsp), %rsi
	movq 16(%rsp), %rcx
	call *(%rdx)
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
	subq $40, %rsp
UNWIND_HINT rsp+48
	movq %rdi, (%rsp)
	movq %rsi, 8(%rsp)
	leaq 32(%rsp), %rdi
	movl $TRACE_LIST_START, %esi
	call trace_test_and_set_recursion
	cmpq $0, 32(%rsp)
	js .Lassist_out
	movq (%rsp), %rdi
	movq 8(%rsp), %rsi
	call *(%rdx)
	movq 32(%rsp), %rdi
	call trace_clear_recursion
.Lassist_out:
	addq $40, %rsp
UNWIND_HINT rsp+8
	ret
