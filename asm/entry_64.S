/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The entry code of tasks: the bottom frames of their kernel stacks. npm run build:objects
 * assembles this file.
 *
 * next_call, exit_to_user_mode, kthread_wait and do_idle are gates: they look like functions, and run TypeScript. next_call
 * returns in rax the next function of the task's program, with its argument in rdi, or 0 at the end of a round.
 *
 * UNWIND_HINT lines are for the unwinder, as in the kernel: they give the canonical frame address from here on.
 * `undefined` is the end of the stack.
 */

/* A user task enters the kernel here, with an empty stack, and leaves it in exit_to_user_mode, which does not return. */
entry_SYSCALL_64:
UNWIND_HINT undefined
	call do_syscall_64
	call exit_to_user_mode
	ud2

do_syscall_64:
UNWIND_HINT rsp+8
	subq $8, %rsp
UNWIND_HINT rsp+16
.Ldo_syscall_64_loop:
	call next_call
	testq %rax, %rax
	je .Ldo_syscall_64_done
	call *%rax
	jmp .Ldo_syscall_64_loop
.Ldo_syscall_64_done:
	addq $8, %rsp
UNWIND_HINT rsp+8
	ret

/* A kernel thread starts here: rounds of calls, with a sleep after each. */
ret_from_fork_asm:
UNWIND_HINT undefined
	call kthread
	ud2

kthread:
UNWIND_HINT rsp+8
	subq $8, %rsp
UNWIND_HINT rsp+16
.Lkthread_loop:
	call next_call
	testq %rax, %rax
	je .Lkthread_sleep
	call *%rax
	jmp .Lkthread_loop
.Lkthread_sleep:
	call kthread_wait
	jmp .Lkthread_loop

/*
 * Guest code that TypeScript calls, the function in rax. It returns to the gate return_to_host, which stops the Cpu. Under its
 * frame, the stack has the frames of a gate that has called TypeScript, or host_bottom.
 */
call_from_host:
UNWIND_HINT rsp+8
	call *%rax
	call return_to_host
	ud2

/* The end of the stack of a task that was in TypeScript when it called. No task ever goes there. */
host_bottom:
UNWIND_HINT undefined
	ud2

/* The idle task of each CPU. */
secondary_startup_64:
UNWIND_HINT undefined
	call cpu_startup_entry
	ud2

cpu_startup_entry:
UNWIND_HINT rsp+8
	subq $8, %rsp
UNWIND_HINT rsp+16
.Lcpu_startup_entry_loop:
	call do_idle
	jmp .Lcpu_startup_entry_loop
