/* SPDX-License-Identifier: GPL-2.0-only */
/* Waiting for a condition, in a loop that others wake. */
#ifndef _LINUX_WAIT_H
#define _LINUX_WAIT_H

#include <linux/errno.h>
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/spinlock_types.h>

struct wait_queue_head {
	spinlock_t lock;
	struct list_head head;
};
typedef struct wait_queue_head wait_queue_head_t;

struct wait_queue_entry {
	unsigned int flags;
	void *private;
};
typedef struct wait_queue_entry wait_queue_entry_t;

#define __WAIT_QUEUE_HEAD_INITIALIZER(name) { .head = { &(name).head, &(name).head } }
#define DECLARE_WAIT_QUEUE_HEAD(name) struct wait_queue_head name = __WAIT_QUEUE_HEAD_INITIALIZER(name)
#define init_waitqueue_head(wq) do { (wq)->head.next = (wq)->head.prev = &(wq)->head; } while (0)
#define DEFINE_WAIT(name) struct wait_queue_entry name = { .private = current }

void prepare_to_wait(struct wait_queue_head *wq, struct wait_queue_entry *entry, int state);
void finish_wait(struct wait_queue_head *wq, struct wait_queue_entry *entry);
int __wake_up(struct wait_queue_head *wq, unsigned int mode, int nr, void *key);

#define wake_up(wq) __wake_up(wq, TASK_NORMAL, 1, (void *)0)
#define wake_up_all(wq) __wake_up(wq, TASK_NORMAL, 0, (void *)0)
#define wake_up_interruptible(wq) __wake_up(wq, TASK_INTERRUPTIBLE, 1, (void *)0)
#define wake_up_interruptible_all(wq) __wake_up(wq, TASK_INTERRUPTIBLE, 0, (void *)0)

/* A signal ends an interruptible wait. */
#define ___wait_event(wq, condition, state) ({ \
	DEFINE_WAIT(__entry); \
	int __ret = 0; \
	for (;;) { \
		prepare_to_wait(&(wq), &__entry, state); \
		if (condition) \
			break; \
		if ((state) == TASK_INTERRUPTIBLE && signal_pending(current)) { \
			__ret = -ERESTARTSYS; \
			break; \
		} \
		schedule(); \
	} \
	finish_wait(&(wq), &__entry); \
	__ret; \
})

/* The jiffies that are left, at least 1; 0 after the timeout. */
#define ___wait_event_timeout(wq, condition, state, timeout) ({ \
	DEFINE_WAIT(__entry); \
	long __ret = timeout; \
	for (;;) { \
		prepare_to_wait(&(wq), &__entry, state); \
		if (condition) { \
			__ret = __ret ?: 1; \
			break; \
		} \
		if (!__ret) \
			break; \
		if ((state) == TASK_INTERRUPTIBLE && signal_pending(current)) { \
			__ret = -ERESTARTSYS; \
			break; \
		} \
		__ret = schedule_timeout(__ret); \
	} \
	finish_wait(&(wq), &__entry); \
	__ret; \
})

#define wait_event(wq, condition) ((void)___wait_event(wq, condition, TASK_UNINTERRUPTIBLE))
#define wait_event_idle(wq, condition) ((void)___wait_event(wq, condition, TASK_IDLE))
#define wait_event_interruptible(wq, condition) ___wait_event(wq, condition, TASK_INTERRUPTIBLE)
/* Only livepatch sends signals, and its signal kills nobody. */
#define wait_event_killable(wq, condition) ___wait_event(wq, condition, TASK_UNINTERRUPTIBLE)
#define wait_event_timeout(wq, condition, timeout) ___wait_event_timeout(wq, condition, TASK_UNINTERRUPTIBLE, timeout)
#define wait_event_interruptible_timeout(wq, condition, timeout) \
	___wait_event_timeout(wq, condition, TASK_INTERRUPTIBLE, timeout)

#endif
