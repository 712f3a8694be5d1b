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
#define task_pid_nr(task) ((task)->pid)
#define task_tgid_nr(task) ((task)->tgid)

void schedule(void);
#define MAX_SCHEDULE_TIMEOUT ((long)(~0UL >> 1))
/* The jiffies that are left when somebody wakes the task earlier. */
long schedule_timeout(long timeout);
long schedule_timeout_interruptible(long timeout);
long schedule_timeout_uninterruptible(long timeout);
long schedule_timeout_idle(long timeout);

#define TASK_RUNNING 0x00000000
#define TASK_INTERRUPTIBLE 0x00000001
#define TASK_UNINTERRUPTIBLE 0x00000002
#define TASK_NOLOAD 0x00000400
#define TASK_IDLE (TASK_UNINTERRUPTIBLE | TASK_NOLOAD)
#define TASK_NORMAL (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)

/* The state in which the next schedule() sleeps, unless a wake-up comes first. */
void __set_current_state(unsigned int state);
#define set_current_state(state) __set_current_state(state)
int wake_up_process(struct task_struct *task);
int signal_pending(struct task_struct *task);

int __cond_resched(void);
#define cond_resched() __cond_resched()

#endif
