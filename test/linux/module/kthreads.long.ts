/** kthreads, timers and delayed works of modules that are compiled with the kernel's own headers. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CPUS_AND_CORES, HeaderModules } from "../../support/header-modules.js";
import type { TestMachine } from "../../support/machine.js";

const HEAD = `#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/timer.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
MODULE_LICENSE("GPL");
`;

const THREADS = `${HEAD}
static struct task_struct *looper, *sleeper, *never;
static struct timer_list timer;
static struct delayed_work dwork;
static struct workqueue_struct *queue;
static DECLARE_WAIT_QUEUE_HEAD(wq);
static DECLARE_COMPLETION(never_done);
static DEFINE_MUTEX(mutex);
static unsigned long started;
static int ticks, works, rounds;

/* Livepatched by the test. */
noinline int thread_step(int x);
noinline int thread_step(int x) { return x + 1; }

static int looper_func(void *data)
{
	while (!kthread_should_stop()) {
		rounds = thread_step(rounds);
		schedule_timeout_interruptible(2);
	}
	pr_info("%s stops\\n", current->comm);
	return *(int *)data;
}

static int sleeper_func(void *data)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (kthread_should_stop())
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static void timer_func(struct timer_list *t)
{
	if (++ticks < 3)
		mod_timer(t, jiffies + 2);
	else
		pr_info("timer: too early %d, pending %d\\n", jiffies - started < 7, timer_pending(t));
}

static void work_func(struct work_struct *work)
{
	if (++works < 3)
		queue_delayed_work(queue, to_delayed_work(work), 1);
}

static int __init threads_init(void)
{
	static int answer = 42;
	long left;

	started = jiffies;
	looper = kthread_run(looper_func, &answer, "looper/%d", 7);
	sleeper = kthread_run(sleeper_func, NULL, "sleeper");
	never = kthread_create(looper_func, &answer, "never");
	if (IS_ERR(looper) || IS_ERR(sleeper) || IS_ERR(never))
		return -ENOMEM;
	timer_setup(&timer, timer_func, 0);
	mod_timer(&timer, jiffies + 3);
	pr_info("pending %d\\n", timer_pending(&timer));
	queue = alloc_workqueue("%s", 0, 0, "threads");
	if (!queue)
		return -ENOMEM;
	INIT_DELAYED_WORK(&dwork, work_func);
	queue_delayed_work(queue, &dwork, 1);
	left = wait_event_timeout(wq, false, 5);
	pr_info("event %ld, completion %lu\\n", left, wait_for_completion_timeout(&never_done, 3));
	pr_info("left %ld\\n", schedule_timeout_uninterruptible(4));
	if (!mutex_trylock(&mutex) || mutex_trylock(&mutex))
		return -EBUSY;
	mutex_unlock(&mutex);
	msleep(40);
	pr_info("%d works\\n", works);
	return 0;
}

static void __exit threads_exit(void)
{
	int ret = kthread_stop(looper);

	timer_shutdown_sync(&timer);
	cancel_delayed_work_sync(&dwork);
	destroy_workqueue(queue);
	pr_info("looper %d, sleeper %d, never %d\\n", ret, kthread_stop(sleeper), kthread_stop(never));
}
module_init(threads_init);
module_exit(threads_exit);
`;

/** Locks with readers, and RCU. */
const READERS = `${HEAD}
#include <linux/hashtable.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
struct entry { struct hlist_node node; int key; struct rcu_head rcu; };
static DEFINE_HASHTABLE(table, 4);
static DECLARE_RWSEM(sem);
static DEFINE_RWLOCK(lock);
static struct task_struct *reader;
static int freed;

static int reader_func(void *data)
{
	down_read(&sem);
	pr_info("reads\\n");
	up_read(&sem);
	while (!kthread_should_stop())
		msleep(1);
	return 0;
}
static void entry_free(struct rcu_head *head)
{
	kfree(container_of(head, struct entry, rcu));
	freed++;
}
static int __init readers_init(void)
{
	struct entry *entry;
	unsigned long flags;
	int bucket, sum = 0;

	for (int i = 1; i <= 5; i++) {
		entry = kzalloc(sizeof(*entry), GFP_KERNEL);
		if (!entry)
			return -ENOMEM;
		entry->key = i;
		hash_add_rcu(table, &entry->node, i);
	}
	rcu_read_lock();
	hash_for_each_rcu(table, bucket, entry, node)
		sum += entry->key;
	rcu_read_unlock();
	read_lock(&lock);
	read_lock(&lock);
	read_unlock(&lock);
	read_unlock(&lock);
	write_lock_irqsave(&lock, flags);
	write_unlock_irqrestore(&lock, flags);
	down_write(&sem);
	if (down_read_trylock(&sem))
		return -EBUSY;
	reader = kthread_run(reader_func, NULL, "reader");
	msleep(30);
	pr_info("sum %d, written\\n", sum);
	up_write(&sem);
	msleep(30);
	return preempt_count();
}
static void __exit readers_exit(void)
{
	struct entry *entry;
	struct hlist_node *next;
	int bucket, n = 0;

	kthread_stop(reader);
	hash_for_each_safe(table, bucket, next, entry, node) {
		hash_del_rcu(&entry->node);
		if (++n & 1)
			call_rcu(&entry->rcu, entry_free);
		else
			kfree_rcu(entry, rcu);
	}
	rcu_barrier();
	pr_info("%d of %d freed by hand\\n", freed, n);
}
module_init(readers_init);
module_exit(readers_exit);
`;

const LIVEPATCH = `${HEAD}
#include <linux/livepatch.h>
MODULE_INFO(livepatch, "Y");
static noinline int new_step(int x) { return x + 1000; }
static struct klp_func funcs[] = { { .old_name = "thread_step", .new_func = new_step }, { } };
static struct klp_object objs[] = { { .name = "threads", .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int __init lp_init(void) { return klp_enable_patch(&patch); }
static void __exit lp_exit(void) { }
module_init(lp_init);
module_exit(lp_exit);
`;

const modules = new HeaderModules();
beforeAll(() => modules.build({ threads: THREADS, readers: READERS, lp: LIVEPATCH }));

describe.each(CPUS_AND_CORES)("on %s, %s core", (cpu, core) => {
	let machine: TestMachine;
	beforeEach(async ({ skip }) => {
		machine = await modules.machine([cpu, core], skip);
	});
	afterEach(() => machine?.close());
	const insmod = (name: string) => machine.insmodC(name, modules.get(name));
	const lines = (name = "threads") => machine.dmesg(`${name}: `).filter((line) => !line.includes("taint"));

	test("kthreads, timers, delayed works and timeouts; a livepatch of a kthread's function; all of it ends", () => {
		expect(insmod("threads")).toBe(0);
		expect(lines()).toEqual([
			"threads: pending 1",
			"threads: timer: too early 0, pending 0",
			"threads: event 0, completion 0",
			"threads: left 0",
			"threads: 3 works",
		]);
		const looper = machine.it.sched.find("looper/7")!;
		expect(looper.kthread).toBe(true);
		expect(insmod("lp")).toBe(0);
		machine.settle();
		expect(looper.patch_state).toBe(-1);
		const rounds = machine.it.modules.get("threads")!.image.symbol("rounds")!.address;
		const before = machine.it.memory.i32(rounds);
		machine.until(() => machine.it.memory.i32(rounds) >= before + 2000);
		expect(machine.echo("0", "lp/enabled")).toBe(0);
		machine.settle();
		expect(machine.it.shell.rmmod("lp")).toBe(0);
		expect(machine.it.shell.rmmod("threads")).toBe(0);
		expect(lines().slice(5)).toEqual(["threads: looper/7 stops", "threads: looper 42, sleeper 0, never -4"]);
		for (const name of ["looper/7", "sleeper", "never"]) expect(machine.it.sched.find(name)).toBeUndefined();
		expect(machine.it.dmesg.warnings).toEqual([]);
	});

	test("readers and writers exclude each other; RCU frees what nobody can find, and rcu_barrier() waits for it", () => {
		const { heap } = machine.it;
		expect(insmod("readers")).toBe(0);
		expect(lines("readers")).toEqual(["readers: sum 15, written", "readers: reads"]);
		const before = heap.count;
		expect(machine.it.shell.rmmod("readers")).toBe(0);
		expect(lines("readers").at(-1)).toBe("readers: 3 of 5 freed by hand");
		expect(heap.count).toBeLessThanOrEqual(before - 5);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
});
