/* SPDX-License-Identifier: GPL-2.0-only */
/* Semaphores with readers (no lock debugging). */
#ifndef _LINUX_RWSEM_H
#define _LINUX_RWSEM_H

#include <linux/types.h>

struct rw_semaphore {
	atomic_long_t count;
	atomic_long_t owner;
	/* struct optimistic_spin_queue */
	atomic_t osq;
	raw_spinlock_t wait_lock;
	struct list_head wait_list;
};

#define DECLARE_RWSEM(name) struct rw_semaphore name = { .wait_list = { &name.wait_list, &name.wait_list } }

static inline void init_rwsem(struct rw_semaphore *sem)
{
	*sem = (struct rw_semaphore) { .wait_list = { &sem->wait_list, &sem->wait_list } };
}

void down_read(struct rw_semaphore *sem);
int down_read_killable(struct rw_semaphore *sem);
int down_read_trylock(struct rw_semaphore *sem);
void up_read(struct rw_semaphore *sem);
void down_write(struct rw_semaphore *sem);
int down_write_killable(struct rw_semaphore *sem);
int down_write_trylock(struct rw_semaphore *sem);
void up_write(struct rw_semaphore *sem);
void downgrade_write(struct rw_semaphore *sem);

#endif
