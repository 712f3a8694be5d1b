/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ftrace trampolines of x86-64, of a kernel without CONFIG_FRAME_POINTER and call depth tracking: same labels,
 * same instructions in the same order, so that counts of instructions and places of tasks are comparable.
 * npm run build:objects assembles this file; create_trampoline() copies ftrace_caller..ftrace_caller_end for each ops.
 *
 * A traced function calls here from its first instruction (behind endbr64), so all registers are the caller's:
 *
 *	(%rsp)		return address: the call site + 5
 *	8(%rsp)		parent: the return address of the traced function
 *
 * The call-back gets (ip, parent_ip, ops, fregs) and may change the RIP slot of the pt_regs at fregs. That slot
 * becomes the return address: a redirected call is a RET to a changed address.
 *
 * UNWIND_HINT: place of the caller's frame from here on, see src/assemble/assemble.ts. `signal`: the return address
 * may be the first byte of a function: a look-up of the byte before it would find another function.
 */

/* Offsets in struct pt_regs (arch/x86/include/asm/ptrace.h); FRAME_SIZE is its size. */
.set R15, 0
.set R14, 8
.set R13, 16
.set R12, 24
.set RBP, 32
.set RBX, 40
.set R11, 48
.set R10, 56
.set R9, 64
.set R8, 72
.set RAX, 80
.set RCX, 88
.set RDX, 96
.set RSI, 104
.set RDI, 112
.set ORIG_RAX, 120
.set RIP, 128
.set CS, 136
.set EFLAGS, 144
.set RSP, 152
.set SS, 160
.set FRAME_SIZE, 168

.set MCOUNT_INSN_SIZE, 5
.set KERNEL_CS, 16
.set KERNEL_DS, 24

/*
 * Saves what C code may clobber into the pt_regs at %rsp, and leaves the call site in %rdi and the parent in %rsi.
 * \added: bytes on the stack between pt_regs and the return address.
 */
.macro save_mcount_regs added=0
	movq %rax, RAX(%rsp)
	movq %rcx, RCX(%rsp)
	movq %rdx, RDX(%rsp)
	movq %rsi, RSI(%rsp)
	movq %rdi, RDI(%rsp)
	movq %r8, R8(%rsp)
	movq %r9, R9(%rsp)
	movq $0, ORIG_RAX(%rsp)
	movq %rbp, %rdx
	movq %rdx, RBP(%rsp)
	movq FRAME_SIZE+8+\added(%rsp), %rsi
	movq FRAME_SIZE+\added(%rsp), %rdi
	movq %rdi, RIP(%rsp)
	subq $MCOUNT_INSN_SIZE, %rdi
.endm

/* Restores the registers, except the stack pointer. */
.macro restore_mcount_regs
	movq RBP(%rsp), %rbp
	movq R9(%rsp), %r9
	movq R8(%rsp), %r8
	movq RDI(%rsp), %rdi
	movq RSI(%rsp), %rsi
	movq RDX(%rsp), %rdx
	movq RCX(%rsp), %rcx
	movq RAX(%rsp), %rax
.endm

ftrace_stub:
UNWIND_HINT rsp+8
	ret

/* The function that -mfentry calls. No task calls it after the call sites have become nops. */
__fentry__:
	ret

ftrace_caller:
	subq $FRAME_SIZE, %rsp
UNWIND_HINT rsp+FRAME_SIZE+8
	save_mcount_regs
	/* The stack pointer of the traced function behind its fentry site. */
	leaq FRAME_SIZE+8(%rsp), %rcx
	movq %rcx, RSP(%rsp)
ftrace_caller_op_ptr:
	movq function_trace_op(%rip), %rdx
	leaq (%rsp), %rcx
	/* Not a full pt_regs: CS tells this to a call-back. */
	movq $0, CS(%rsp)
ftrace_call:
	call ftrace_stub
	movq RIP(%rsp), %rax
	movq %rax, FRAME_SIZE(%rsp)
UNWIND_HINT rsp+FRAME_SIZE+8 signal
	restore_mcount_regs
	addq $FRAME_SIZE, %rsp
UNWIND_HINT rsp+8 signal
/* Copies end here, and get a RET of their own. */
ftrace_caller_end:
	ret

ftrace_regs_caller:
UNWIND_HINT rsp+8
	pushfq
UNWIND_HINT rsp+16
	subq $FRAME_SIZE, %rsp
UNWIND_HINT rsp+FRAME_SIZE+16
	save_mcount_regs 8
ftrace_regs_caller_op_ptr:
	movq function_trace_op(%rip), %rdx
	movq %r15, R15(%rsp)
	movq %r14, R14(%rsp)
	movq %r13, R13(%rsp)
	movq %r12, R12(%rsp)
	movq %r11, R11(%rsp)
	movq %r10, R10(%rsp)
	movq %rbx, RBX(%rsp)
	movq FRAME_SIZE(%rsp), %rcx
	movq %rcx, EFLAGS(%rsp)
	movq $KERNEL_DS, %rcx
	movq %rcx, SS(%rsp)
	movq $KERNEL_CS, %rcx
	movq %rcx, CS(%rsp)
	leaq FRAME_SIZE+16(%rsp), %rcx
	movq %rcx, RSP(%rsp)
	leaq (%rsp), %rcx
ftrace_regs_call:
	call ftrace_stub
	movq EFLAGS(%rsp), %rax
	movq %rax, FRAME_SIZE(%rsp)
	movq RIP(%rsp), %rax
	movq %rax, FRAME_SIZE+8(%rsp)
UNWIND_HINT rsp+FRAME_SIZE+16 signal
	movq R15(%rsp), %r15
	movq R14(%rsp), %r14
	movq R13(%rsp), %r13
	movq R12(%rsp), %r12
	movq R10(%rsp), %r10
	movq RBX(%rsp), %rbx
	/* A direct trampoline leaves its address in ORIG_RAX. It is kept in the SS slot, which is not needed any more. */
	movq ORIG_RAX(%rsp), %rax
	movq %rax, FRAME_SIZE-8(%rsp)
	testq %rax, %rax
ftrace_regs_caller_jmp:
	jnz .Lftrace_regs_direct
	restore_mcount_regs
	addq $FRAME_SIZE, %rsp
UNWIND_HINT rsp+16 signal
	popfq
UNWIND_HINT rsp+8 signal
ftrace_regs_caller_end:
	ret

/*
 * A tail call to the address in ORIG_RAX without a free register: it changes places with the flags, which are popped from
 * below it, and RET goes there. The CALL in between keeps the return stack of the CPU balanced.
 */
.Lftrace_regs_direct:
UNWIND_HINT rsp+FRAME_SIZE+16 signal
	movq FRAME_SIZE(%rsp), %rdi
	movq %rdi, FRAME_SIZE-8(%rsp)
	movq %rax, FRAME_SIZE(%rsp)
UNWIND_HINT rsp+FRAME_SIZE+8 signal
	restore_mcount_regs
	addq $FRAME_SIZE-8, %rsp
UNWIND_HINT rsp+16 signal
	popfq
UNWIND_HINT rsp+8 signal
	call .Lftrace_regs_rebalance
	int3
.Lftrace_regs_rebalance:
UNWIND_HINT rsp+16 signal
	addq $8, %rsp
UNWIND_HINT rsp+8 signal
	ret

/*
 * A function returns here whose return address the function graph tracer has replaced. The original one is on the task's shadow stack
 * (ftrace_graph_func), until ftrace_return_to_handler takes it off. Where the stack does not have a return address that the
 * unwinder can find, it must give up: UNWIND_HINT none.
 */
UNWIND_HINT none
	int3
return_to_handler:
	/* The stack pointer of the caller. */
	movq %rsp, %rdi
	/* RET has left the address of return_to_handler below it: the unwinder finds that there, and asks the shadow stack. */
	subq $8, %rsp
UNWIND_HINT rsp+8
	subq $FRAME_SIZE, %rsp
UNWIND_HINT rsp+FRAME_SIZE+8
	movq %rax, RAX(%rsp)
	movq %rdx, RDX(%rsp)
	movq %rbp, RBP(%rsp)
	movq %rdi, RSP(%rsp)
	movq %rsp, %rdi
	call ftrace_return_to_handler
	movq %rax, %rdi
	movq RDX(%rsp), %rdx
	movq RAX(%rsp), %rax
	addq $FRAME_SIZE+8, %rsp
UNWIND_HINT none
	/* A RET to the original address, with a CALL that keeps the return stack of the CPU balanced. */
	call .Ldo_rop
	int3
.Ldo_rop:
UNWIND_HINT rsp+8
	movq %rdi, (%rsp)
	ret

/*
 * The same for a return address that a kretprobe has replaced (arch/x86/kernel/rethook.c). The call-back puts the original address
 * into the word above the pt_regs, and a copy of the flags into the SS slot. The unwinder finds no return address before the call: a
 * task with a replaced one is reliable only while it sleeps.
 */
UNWIND_HINT none
	int3
arch_rethook_trampoline:
	pushq $arch_rethook_trampoline
	pushq $KERNEL_DS
	pushq %rsp
	pushfq
	subq $24, %rsp
	pushq %rdi
	pushq %rsi
	pushq %rdx
	pushq %rcx
	pushq %rax
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, %rdi
UNWIND_HINT rsp+FRAME_SIZE+8
	call arch_rethook_trampoline_callback
	popq %r15
UNWIND_HINT rsp+FRAME_SIZE+8-8
	popq %r14
UNWIND_HINT rsp+FRAME_SIZE+8-16
	popq %r13
UNWIND_HINT rsp+FRAME_SIZE+8-24
	popq %r12
UNWIND_HINT rsp+FRAME_SIZE+8-32
	popq %rbp
UNWIND_HINT rsp+FRAME_SIZE+8-40
	popq %rbx
UNWIND_HINT rsp+FRAME_SIZE+8-48
	popq %r11
UNWIND_HINT rsp+FRAME_SIZE+8-56
	popq %r10
UNWIND_HINT rsp+FRAME_SIZE+8-64
	popq %r9
UNWIND_HINT rsp+FRAME_SIZE+8-72
	popq %r8
UNWIND_HINT rsp+FRAME_SIZE+8-80
	popq %rax
UNWIND_HINT rsp+FRAME_SIZE+8-88
	popq %rcx
UNWIND_HINT rsp+FRAME_SIZE+8-96
	popq %rdx
UNWIND_HINT rsp+FRAME_SIZE+8-104
	popq %rsi
UNWIND_HINT rsp+FRAME_SIZE+8-112
	popq %rdi
UNWIND_HINT rsp+FRAME_SIZE+8-120
	addq $24, %rsp
UNWIND_HINT rsp+32
	addq $16, %rsp
UNWIND_HINT rsp+16
	popfq
UNWIND_HINT rsp+8
	ret
