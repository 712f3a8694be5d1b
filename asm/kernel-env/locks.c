// SPDX-License-Identifier: GPL-2.0-only
/*
 * Spin and read locks. A CPU of the engine is not preempted while its preempt_count forbids it, and one CPU runs at a time: a lock
 * that is taken when somebody asks for it is a deadlock, which BUG() reports.
 */
#include <linux/bug.h>
#include <linux/preempt.h>
#include <linux/spinlock.h>

#ifndef CONFIG_INLINE_SPIN_LOCK_IRQSAVE
static void take(raw_spinlock_t *lock)
{
	preempt_disable();
	BUG_ON(!arch_spin_trylock(&lock->raw_lock));
}

static void release(raw_spinlock_t *lock)
{
	atomic_set(&lock->raw_lock.val, 0);
	preempt_enable();
}

void __lockfunc _raw_spin_lock(raw_spinlock_t *lock)
{
	take(lock);
}

/* The engine has no interrupts: the saved flags are 0. */
unsigned long __lockfunc _raw_spin_lock_irqsave(raw_spinlock_t *lock)
{
	take(lock);
	return 0;
}

void __lockfunc _raw_spin_unlock_irqrestore(raw_spinlock_t *lock, unsigned long flags)
{
	release(lock);
}
#endif

/* Readers count in the word of the lock (asm-generic/qrwlock_types.h), in units of the kernel's. */
#define READER 0x200

void __lockfunc _raw_read_lock(rwlock_t *lock)
{
	preempt_disable();
	BUG_ON(atomic_read(&lock->raw_lock.cnts) % READER);
	atomic_add(READER, &lock->raw_lock.cnts);
}

#ifndef CONFIG_INLINE_READ_UNLOCK
void __lockfunc _raw_read_unlock(rwlock_t *lock)
{
	atomic_sub(READER, &lock->raw_lock.cnts);
	preempt_enable();
}
#endif
