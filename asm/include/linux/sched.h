/* SPDX-License-Identifier: GPL-2.0-only */
/* The current task. */
#ifndef _LINUX_SCHED_H
#define _LINUX_SCHED_H

#include <linux/types.h>

#define TASK_COMM_LEN 16

/* Not the kernel's layout, which depends on every option there is: what modules read of it. */
struct task_struct {
	pid_t pid;
	pid_t tgid;
	char comm[TASK_COMM_LEN];
};

struct task_struct *get_current(void);
#define current get_current()

pid_t task_tgid_vnr(struct task_struct *task);
void schedule(void);
int __cond_resched(void);
#define cond_resched() __cond_resched()

#endif
