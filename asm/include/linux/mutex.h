/* SPDX-License-Identifier: GPL-2.0-only */
/* Mutexes (CONFIG_MUTEX_SPIN_ON_OWNER, no debugging). */
#ifndef _LINUX_MUTEX_H
#define _LINUX_MUTEX_H

#include <linux/types.h>

struct mutex {
	atomic_long_t owner;
	raw_spinlock_t wait_lock;
	/* struct optimistic_spin_queue */
	atomic_t osq;
	struct list_head wait_list;
};

#define DEFINE_MUTEX(name) struct mutex name = { .wait_list = { &name.wait_list, &name.wait_list } }

void mutex_lock(struct mutex *lock);
void mutex_unlock(struct mutex *lock);
int mutex_trylock(struct mutex *lock);
int mutex_lock_killable(struct mutex *lock);
/* Only livepatch sends signals, and its signal ends no such wait. */
#define mutex_lock_interruptible(lock) mutex_lock_killable(lock)
#define mutex_destroy(lock) do { (void)(lock); } while (0)

static inline void mutex_init(struct mutex *lock)
{
	*lock = (struct mutex) { .wait_list = { &lock->wait_list, &lock->wait_list } };
}

static inline bool mutex_is_locked(struct mutex *lock)
{
	return *(volatile s64 *)&lock->owner.counter != 0;
}

#endif
