/* SPDX-License-Identifier: GPL-2.0-only */
/* Call-backs at fentry sites. The first fields of struct ftrace_ops are the kernel's; the machine keeps the others. */
#ifndef _LINUX_FTRACE_H
#define _LINUX_FTRACE_H

#include <linux/compiler.h>
#include <linux/types.h>

struct ftrace_ops;
struct ftrace_regs;
struct pt_regs;

typedef void (*ftrace_func_t)(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *op, struct ftrace_regs *fregs);

enum {
	FTRACE_OPS_FL_ENABLED = 1 << 0,
	FTRACE_OPS_FL_DYNAMIC = 1 << 1,
	FTRACE_OPS_FL_SAVE_REGS = 1 << 2,
	FTRACE_OPS_FL_SAVE_REGS_IF_SUPPORTED = 1 << 3,
	FTRACE_OPS_FL_RECURSION = 1 << 4,
	FTRACE_OPS_FL_IPMODIFY = 1 << 12,
	FTRACE_OPS_FL_PERMANENT = 1 << 16,
};

struct ftrace_ops {
	ftrace_func_t func;
	struct ftrace_ops *next;
	unsigned long flags;
	void *private;
};

int register_ftrace_function(struct ftrace_ops *ops);
int unregister_ftrace_function(struct ftrace_ops *ops);
/* Before the ops is registered; `remove` takes the site out of the filter again. */
int ftrace_set_filter_ip(struct ftrace_ops *ops, unsigned long ip, int remove, int reset);
int ftrace_set_filter(struct ftrace_ops *ops, unsigned char *buf, int len, int reset);

#define __NO_DIRECT __compiletime_error("direct functions of modules are not emulated: use ftrace_ops: in the scenario")
int register_ftrace_direct(struct ftrace_ops *ops, unsigned long addr) __NO_DIRECT;
int unregister_ftrace_direct(struct ftrace_ops *ops, unsigned long addr, bool free_filters) __NO_DIRECT;

#endif
