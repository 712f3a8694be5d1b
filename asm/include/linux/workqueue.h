/* SPDX-License-Identifier: GPL-2.0-only */
/* Work for kworkers, now or later. */
#ifndef _LINUX_WORKQUEUE_H
#define _LINUX_WORKQUEUE_H

#include <linux/completion.h>
#include <linux/container_of.h>
#include <linux/jiffies.h>
#include <linux/types.h>

struct work_struct;
struct workqueue_struct;
typedef void (*work_func_t)(struct work_struct *work);

struct work_struct {
	atomic_long_t data;
	struct list_head entry;
	work_func_t func;
};

struct timer_list {
	struct hlist_node entry;
	unsigned long expires;
	void (*function)(struct timer_list *timer);
	u32 flags;
};

struct delayed_work {
	struct work_struct work;
	struct timer_list timer;
	struct workqueue_struct *wq;
	int cpu;
};

#define __WORK_INITIALIZER(name, function) \
	{ .data = { 0 }, .entry = { &(name).entry, &(name).entry }, .func = (function) }

#define DECLARE_WORK(name, function) struct work_struct name = __WORK_INITIALIZER(name, function)
#define DECLARE_DELAYED_WORK(name, function) \
	struct delayed_work name = { .work = __WORK_INITIALIZER(name.work, function) }

#define INIT_WORK(work_, function) do { \
	*(work_) = (struct work_struct)__WORK_INITIALIZER(*(work_), function); \
} while (0)
#define INIT_DELAYED_WORK(dwork, function) do { \
	*(dwork) = (struct delayed_work) { .work = __WORK_INITIALIZER((dwork)->work, function) }; \
} while (0)
#define to_delayed_work(w) container_of(w, struct delayed_work, work)

bool schedule_work(struct work_struct *work);
bool schedule_delayed_work(struct delayed_work *work, unsigned long delay);
bool flush_work(struct work_struct *work);
bool cancel_work_sync(struct work_struct *work);
bool cancel_delayed_work_sync(struct delayed_work *work);

#endif
