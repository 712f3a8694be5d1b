/* SPDX-License-Identifier: GPL-2.0-only */
/* Waiting until something has happened. */
#ifndef _LINUX_COMPLETION_H
#define _LINUX_COMPLETION_H

#include <linux/types.h>

struct swait_queue_head {
	raw_spinlock_t lock;
	struct list_head task_list;
};

struct completion {
	unsigned int done;
	struct swait_queue_head wait;
};

#define DECLARE_COMPLETION(name) \
	struct completion name = { .wait = { .task_list = { &name.wait.task_list, &name.wait.task_list } } }

static inline void init_completion(struct completion *x)
{
	*x = (struct completion) { .wait = { .task_list = { &x->wait.task_list, &x->wait.task_list } } };
}

static inline void reinit_completion(struct completion *x)
{
	x->done = 0;
}

static inline bool completion_done(struct completion *x)
{
	return *(volatile unsigned int *)&x->done != 0;
}

void complete(struct completion *x);
void complete_all(struct completion *x);
void wait_for_completion(struct completion *x);
int wait_for_completion_killable(struct completion *x);
/* Only livepatch sends signals, and its signal ends no such wait. */
#define wait_for_completion_interruptible(x) wait_for_completion_killable(x)
/* The jiffies that are left; 0 after the timeout. */
unsigned long wait_for_completion_timeout(struct completion *x, unsigned long timeout);

#endif
