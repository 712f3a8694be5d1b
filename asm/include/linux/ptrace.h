/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_PTRACE_H
#define _LINUX_PTRACE_H

/* The registers of x86-64 as ftrace and kprobes save them. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};

#define instruction_pointer(regs) ((regs)->ip)
#define instruction_pointer_set(regs, value) ((regs)->ip = (value))
#define kernel_stack_pointer(regs) ((regs)->sp)
#define regs_return_value(regs) ((regs)->ax)

/* Parameter n of a function, from 0 on, at its entry. */
static inline unsigned long regs_get_kernel_argument(struct pt_regs *regs, unsigned int n)
{
	unsigned long *const registers[] = { &regs->di, &regs->si, &regs->dx, &regs->cx, &regs->r8, &regs->r9 };

	return n < sizeof(registers) / sizeof(registers[0]) ? *registers[n] : 0;
}

#endif
