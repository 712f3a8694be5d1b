// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data of the kernel that its livepatch code reads inline, and kernel functions of tasks. The engine fills the data in; what it
 * alone writes is global, because gcc would fold a static variable that nobody writes.
 */
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/kobject.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/spinlock.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/swait.h>
#include <linux/version.h>
#include <linux/workqueue.h>

/* The swapper of CPU 0, whose list of tasks is the list of all processes (init/init_task.c). */
static struct signal_struct init_signals = {
	.nr_threads = 1,
	.thread_head = LIST_HEAD_INIT(init_task.thread_node),
};

struct task_struct init_task = {
	.comm = "swapper/0",
	.flags = PF_KTHREAD,
	.tasks = LIST_HEAD_INIT(init_task.tasks),
	.signal = &init_signals,
	.group_leader = &init_task,
	.thread_node = LIST_HEAD_INIT(init_signals.thread_head),
	.pi_lock = __RAW_SPIN_LOCK_UNLOCKED(init_task.pi_lock),
};

DEFINE_RWLOCK(tasklist_lock);

unsigned int nr_cpu_ids = 1;
struct cpumask __cpu_online_mask;
struct cpumask __cpu_possible_mask;

/* Offset of each CPU's area from the addresses that the linker gives to per-CPU variables. */
DEFINE_PER_CPU_READ_MOSTLY(unsigned long, this_cpu_off);

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 15, 0)
/* arch/x86/kernel/cpu/common.c; the second name is the linker script's. */
DEFINE_PER_CPU_ALIGNED(struct pcpu_hot, pcpu_hot) = {
	.current_task = &init_task,
	.preempt_count = PREEMPT_NEED_RESCHED,
};
asm(".globl const_pcpu_hot\n\t.set const_pcpu_hot, pcpu_hot");
#else
DEFINE_PER_CPU(struct task_struct *, current_task) = &init_task;
DEFINE_PER_CPU(int, __preempt_count) = PREEMPT_NEED_RESCHED;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
asm(".globl const_current_task\n\t.set const_current_task, current_task");
#endif
#endif

/* CPUs that the engine can have. */
#define KLPEMU_CPUS 64
struct task_struct *klpemu_idle_tasks[KLPEMU_CPUS] = { &init_task };

/* kernel/sched/core.c: the idle task of a CPU. */
struct task_struct *idle_task(int cpu)
{
	return cpu < KLPEMU_CPUS ? klpemu_idle_tasks[cpu] : NULL;
}

/* kernel/sched/core.c: calls func while p can neither run nor be woken. */
int task_call_func(struct task_struct *p, task_call_f func, void *arg)
{
	unsigned long flags;
	int ret;

	raw_spin_lock_irqsave(&p->pi_lock, flags);
	ret = func(p, arg);
	raw_spin_unlock_irqrestore(&p->pi_lock, flags);
	return ret;
}

/* kernel/sched/swait.c */
void __init_swait_queue_head(struct swait_queue_head *q, const char *name, struct lock_class_key *key)
{
	raw_spin_lock_init(&q->lock);
	INIT_LIST_HEAD(&q->task_list);
}

/* kernel/workqueue.c: the engine gives works no queue of their own; only that the pointers differ from NULL matters. */
static long a_workqueue;
struct workqueue_struct *system_wq = (struct workqueue_struct *)&a_workqueue;
extern struct workqueue_struct *system_percpu_wq;
struct workqueue_struct *system_percpu_wq = (struct workqueue_struct *)&a_workqueue;

/* kernel/workqueue.c: the engine has the timers; only this function's address counts. */
void delayed_work_timer_fn(struct timer_list *t)
{
}

/* kernel/time/timer.c rounds to a whole second of the CPU's clock. The engine's time has no such seconds. */
unsigned long round_jiffies_relative(unsigned long j)
{
	return j;
}

/* mm/slab_common.c: a kmalloc() of constant size names a cache; the engine's heap takes the size. */
typeof(kmalloc_caches) kmalloc_caches;

/* kernel/ksysfs.c: /sys/kernel */
static struct kobject klpemu_kernel_kobject = {
	.name = "kernel",
	.entry = LIST_HEAD_INIT(klpemu_kernel_kobject.entry),
	.kref = KREF_INIT(1),
	.state_initialized = 1,
	.state_in_sysfs = 1,
};
struct kobject *kernel_kobj = &klpemu_kernel_kobject;

/* lib/kobject.c: an attribute that has no show() or no store() is an I/O error. */
static ssize_t kobj_attr_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	struct kobj_attribute *kattr = container_of(attr, struct kobj_attribute, attr);

	return kattr->show ? kattr->show(kobj, kattr, buf) : -EIO;
}

static ssize_t kobj_attr_store(struct kobject *kobj, struct attribute *attr, const char *buf, size_t count)
{
	struct kobj_attribute *kattr = container_of(attr, struct kobj_attribute, attr);

	return kattr->store ? kattr->store(kobj, kattr, buf, count) : -EIO;
}

const struct sysfs_ops kobj_sysfs_ops = { .show = kobj_attr_show, .store = kobj_attr_store };
