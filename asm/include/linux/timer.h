/* SPDX-License-Identifier: GPL-2.0-only */
/* Functions that run later, in ksoftirqd. */
#ifndef _LINUX_TIMER_H
#define _LINUX_TIMER_H

#include <linux/container_of.h>
#include <linux/jiffies.h>
#include <linux/types.h>

struct timer_list {
	struct hlist_node entry;
	unsigned long expires;
	void (*function)(struct timer_list *timer);
	u32 flags;
};

#define DEFINE_TIMER(name, func) struct timer_list name = { .function = (func) }
#define timer_setup(timer, func, flags) init_timer_key(timer, func, flags, (void *)0, (void *)0)
#define from_timer(var, timer, field) container_of(timer, typeof(*var), field)

void init_timer_key(struct timer_list *timer, void (*func)(struct timer_list *), unsigned int flags, const char *name,
		    void *key);
int mod_timer(struct timer_list *timer, unsigned long expires);
void add_timer(struct timer_list *timer);
int timer_delete(struct timer_list *timer);
int timer_delete_sync(struct timer_list *timer);
int timer_shutdown_sync(struct timer_list *timer);
#define del_timer(timer) timer_delete(timer)
#define del_timer_sync(timer) timer_delete_sync(timer)

static inline int timer_pending(const struct timer_list *timer)
{
	return timer->entry.pprev != NULL;
}

#endif
