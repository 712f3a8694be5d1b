/* SPDX-License-Identifier: GPL-2.0-only */
/* A part of kernel.c: kernel/notifier.c, chains of functions that are told of events. */
#include <linux/bug.h>
#include <linux/errno.h>
#include <linux/notifier.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>

struct raw_notifier_head {
	struct notifier_block *head;
};
struct atomic_notifier_head {
	spinlock_t lock;
	struct notifier_block *head;
};
struct blocking_notifier_head {
	struct rw_semaphore rwsem;
	struct notifier_block *head;
};

/* The highest priority comes first; of equal ones the oldest. */
static int chain_register(struct notifier_block **at, struct notifier_block *added)
{
	for (; *at; at = &(*at)->next) {
		if (WARN(*at == added, "notifier callback %ps already registered", added->notifier_call))
			return -EEXIST;
		if (added->priority > (*at)->priority)
			break;
	}
	added->next = *at;
	*at = added;
	return 0;
}

static int chain_unregister(struct notifier_block **at, struct notifier_block *gone)
{
	for (; *at; at = &(*at)->next) {
		if (*at != gone)
			continue;
		*at = gone->next;
		return 0;
	}
	return -ENOENT;
}

/* Calls `most` functions at most, and says how many it has called. */
static int chain_call(struct notifier_block *block, unsigned long action, void *data, int most, int *called)
{
	int ret = NOTIFY_DONE;

	for (*called = 0; block && *called < most; ++*called) {
		/* The function may take itself away. */
		struct notifier_block *next = block->next;

		ret = block->notifier_call(block, action, data);
		block = next;
		if (ret & NOTIFY_STOP_MASK) {
			++*called;
			break;
		}
	}
	return ret;
}

#define CHAIN(kind, lock, unlock, begin, end, after) \
	int kind##_notifier_chain_register(struct kind##_notifier_head *head, struct notifier_block *block); \
	int kind##_notifier_chain_register(struct kind##_notifier_head *head, struct notifier_block *block) \
	{ \
		int ret; \
\
		lock; \
		ret = chain_register(&head->head, block); \
		unlock; \
		return ret; \
	} \
	int kind##_notifier_chain_unregister(struct kind##_notifier_head *head, struct notifier_block *block); \
	int kind##_notifier_chain_unregister(struct kind##_notifier_head *head, struct notifier_block *block) \
	{ \
		int ret; \
\
		lock; \
		ret = chain_unregister(&head->head, block); \
		unlock; \
		after; \
		return ret; \
	} \
	int kind##_notifier_call_chain(struct kind##_notifier_head *head, unsigned long action, void *data); \
	int kind##_notifier_call_chain(struct kind##_notifier_head *head, unsigned long action, void *data) \
	{ \
		int ret, called; \
\
		begin; \
		ret = chain_call(head->head, action, data, INT_MAX, &called); \
		end; \
		return ret; \
	}
CHAIN(raw, , , , , )
CHAIN(atomic, spin_lock(&head->lock), spin_unlock(&head->lock), rcu_read_lock(), rcu_read_unlock(), synchronize_rcu())
CHAIN(blocking, down_write(&head->rwsem), up_write(&head->rwsem), down_read(&head->rwsem), up_read(&head->rwsem), )

/* kernel/module/main.c. The loader calls tell_module_notifiers() if there are any (src/linux/module/notifiers.ts). */
struct blocking_notifier_head module_notify_list;

int register_module_notifier(struct notifier_block *block);
int register_module_notifier(struct notifier_block *block)
{
	return blocking_notifier_chain_register(&module_notify_list, block);
}

int unregister_module_notifier(struct notifier_block *block);
int unregister_module_notifier(struct notifier_block *block)
{
	return blocking_notifier_chain_unregister(&module_notify_list, block);
}

/* If one refuses, those that have been called before are told of `undo`, if it is not 0. Returns its errno. */
int tell_module_notifiers(unsigned long state, void *mod, unsigned long undo);
int tell_module_notifiers(unsigned long state, void *mod, unsigned long undo)
{
	int called, undone, ret;

	down_read(&module_notify_list.rwsem);
	ret = chain_call(module_notify_list.head, state, mod, INT_MAX, &called);
	if (undo && ret & NOTIFY_STOP_MASK)
		chain_call(module_notify_list.head, undo, mod, called - 1, &undone);
	up_read(&module_notify_list.rwsem);
	ret &= ~NOTIFY_STOP_MASK;
	return ret > NOTIFY_OK ? NOTIFY_OK - ret : 0;
}
