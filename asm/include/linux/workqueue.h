/* SPDX-License-Identifier: GPL-2.0-only */
/* Work for kworkers, now or later. */
#ifndef _LINUX_WORKQUEUE_H
#define _LINUX_WORKQUEUE_H

#include <linux/completion.h>
#include <linux/container_of.h>
#include <linux/kernel.h>
#include <linux/jiffies.h>
#include <linux/timer.h>
#include <linux/types.h>

struct work_struct;
struct workqueue_struct;
typedef void (*work_func_t)(struct work_struct *work);

struct work_struct {
	atomic_long_t data;
	struct list_head entry;
	work_func_t func;
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

#define work_pending(work) (((work)->data.counter & 1) != 0)
#define delayed_work_pending(dwork) work_pending(&(dwork)->work)

bool schedule_work(struct work_struct *work);
bool schedule_delayed_work(struct delayed_work *dwork, unsigned long delay);
bool flush_work(struct work_struct *work);
bool flush_delayed_work(struct delayed_work *dwork);
bool cancel_work(struct work_struct *work);
bool cancel_work_sync(struct work_struct *work);
bool cancel_delayed_work(struct delayed_work *dwork);
bool cancel_delayed_work_sync(struct delayed_work *dwork);

#define WORK_CPU_UNBOUND NR_CPUS
#define WQ_UNBOUND 0x2
#define WQ_FREEZABLE 0x4
#define WQ_MEM_RECLAIM 0x8
#define WQ_HIGHPRI 0x10

__printf(1, 4) struct workqueue_struct *alloc_workqueue(const char *fmt, unsigned int flags, int max_active, ...);
#define alloc_ordered_workqueue(fmt, flags, args...) alloc_workqueue(fmt, flags, 1, ##args)
#define create_workqueue(name) alloc_workqueue("%s", WQ_MEM_RECLAIM, 1, name)
#define create_singlethread_workqueue(name) alloc_workqueue("%s", WQ_MEM_RECLAIM, 1, name)
void destroy_workqueue(struct workqueue_struct *wq);
void __flush_workqueue(struct workqueue_struct *wq);
#define flush_workqueue(wq) __flush_workqueue(wq)

bool queue_work_on(int cpu, struct workqueue_struct *wq, struct work_struct *work);
bool queue_delayed_work_on(int cpu, struct workqueue_struct *wq, struct delayed_work *dwork, unsigned long delay);
bool mod_delayed_work_on(int cpu, struct workqueue_struct *wq, struct delayed_work *dwork, unsigned long delay);
#define queue_work(wq, work) queue_work_on(WORK_CPU_UNBOUND, wq, work)
#define queue_delayed_work(wq, dwork, delay) queue_delayed_work_on(WORK_CPU_UNBOUND, wq, dwork, delay)
#define mod_delayed_work(wq, dwork, delay) mod_delayed_work_on(WORK_CPU_UNBOUND, wq, dwork, delay)

#endif
