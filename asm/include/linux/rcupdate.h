/* SPDX-License-Identifier: GPL-2.0-only */
/* Read-copy-update. A reader is not preempted, as in a kernel without CONFIG_PREEMPT_RCU. */
#ifndef _LINUX_RCUPDATE_H
#define _LINUX_RCUPDATE_H

#include <asm/barrier.h>
#include <linux/compiler.h>

struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
};

void __rcu_read_lock(void);
void __rcu_read_unlock(void);
#define rcu_read_lock() do { __rcu_read_lock(); barrier(); } while (0)
#define rcu_read_unlock() do { barrier(); __rcu_read_unlock(); } while (0)
#define rcu_dereference(p) READ_ONCE(p)
#define rcu_dereference_check(p, condition) READ_ONCE(p)
#define rcu_dereference_protected(p, condition) (p)
#define rcu_dereference_raw(p) READ_ONCE(p)
#define rcu_access_pointer(p) READ_ONCE(p)
#define rcu_assign_pointer(p, value) smp_store_release(&(p), value)
#define RCU_INIT_POINTER(p, value) WRITE_ONCE(p, value)

void synchronize_rcu(void);
void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head));
/* Until the functions of all call_rcu() so far have run. */
void rcu_barrier(void);

/* kfree() after a grace period. */
void kvfree_call_rcu(struct rcu_head *head, void *object);
#define kfree_rcu(object, field) kvfree_call_rcu(&(object)->field, object)
#define kvfree_rcu(object, field) kfree_rcu(object, field)

#endif
