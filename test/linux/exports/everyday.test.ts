/** What everyday modules in C use of asm/include besides livepatch.h, on every Cpu. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CPU_NAMES } from "../../../src/node/index.js";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

interface Part {
	includes: readonly string[];
	declarations: string;
	/** Body of the module's init, which returns 0 at its end. */
	init: string;
	exit?: string;
	dmesg: readonly string[];
}

const LISTS: Part = {
	includes: ["hashtable", "rcupdate", "slab"],
	declarations: `
struct item { int key; struct hlist_node node; struct list_head list; struct rcu_head rcu; };
static DEFINE_HASHTABLE(table, 4);
static LIST_HEAD(items);
static LIST_HEAD(others);
static int freed;
static void free_item(struct rcu_head *head)
{
	kfree(container_of(head, struct item, rcu));
	freed++;
}`,
	init: `
	struct item *item, *next;
	struct hlist_node *tmp;
	unsigned int bucket, i, sum = 0;

	for (i = 0; i < 20; i++) {
		item = kzalloc(sizeof(*item), GFP_KERNEL);
		item->key = i;
		hash_add(table, &item->node, item->key);
		list_add_tail(&item->list, &items);
	}
	hash_for_each_possible(table, item, node, 7)
		if (item->key == 7)
			sum += 1000;
	hash_for_each(table, bucket, item, node)
		sum += item->key;
	pr_info("sum %u, first %d, singular %d\\n", sum, list_is_first(items.next, &items), list_is_singular(&items));
	list_splice_init(&items, &others);
	pr_info("empty %d %d\\n", list_empty(&items), list_empty(&others));
	hash_for_each_safe(table, bucket, tmp, item, node)
		hash_del(&item->node);
	pr_info("hash empty %d\\n", hash_empty(table));
	list_for_each_entry_safe(item, next, &others, list) {
		list_del(&item->list);
		if (item->key == 0)
			kfree_rcu(item, rcu);
		else
			call_rcu(&item->rcu, free_item);
	}
	rcu_barrier();
	pr_info("freed %d\\n", freed);`,
	dmesg: ["m: sum 1190, first 1, singular 0", "m: empty 1 0", "m: hash empty 1", "m: freed 19"],
};

const LOCKS: Part = {
	includes: ["mutex", "rwsem", "spinlock"],
	declarations: "static DECLARE_RWSEM(sem);\nstatic DEFINE_RWLOCK(rwlock);\nstatic DEFINE_MUTEX(mutex);",
	init: `
	unsigned long flags;

	down_write(&sem);
	pr_info("beside a writer %d\\n", down_read_trylock(&sem));
	downgrade_write(&sem);
	pr_info("beside a reader %d, a writer %d\\n", down_read_trylock(&sem), down_write_trylock(&sem));
	up_read(&sem);
	up_read(&sem);
	pr_info("alone %d\\n", down_write_trylock(&sem));
	up_write(&sem);
	read_lock(&rwlock);
	read_lock_bh(&rwlock);
	read_unlock_bh(&rwlock);
	read_unlock(&rwlock);
	write_lock_irqsave(&rwlock, flags);
	write_unlock_irqrestore(&rwlock, flags);
	pr_info("free %d\\n", mutex_lock_interruptible(&mutex));
	pr_info("held %d\\n", mutex_trylock(&mutex));
	mutex_unlock(&mutex);`,
	dmesg: ["m: beside a writer 0", "m: beside a reader 1, a writer 0", "m: alone 1", "m: free 0", "m: held 0"],
};

const BITS: Part = {
	includes: ["bitmap", "cache", "log2", "overflow", "sched/signal"],
	declarations: "static DECLARE_BITMAP(map, 100);\nstruct counted { int n; long of[]; };",
	init: `
	struct counted *counted = NULL;
	unsigned long bit;

	bitmap_zero(map, 100);
	__set_bit(3, map);
	set_bit(77, map);
	for_each_set_bit(bit, map, 100)
		pr_info("bit %lu\\n", bit);
	pr_info("%u set, next clear %lu\\n", bitmap_weight(map, 100), find_next_zero_bit(map, 100, 3));
	pr_info("%d %d %lu\\n", ilog2(4096), is_power_of_2(12), roundup_pow_of_two(100));
	pr_info("%zu %zx\\n", struct_size(counted, of, 3), array_size(SIZE_MAX, 2));`,
	dmesg: ["m: bit 3", "m: bit 77", "m: 2 set, next clear 4", "m: 12 0 128", "m: 32 ffffffffffffffff"],
};

const TIME: Part = {
	includes: ["completion", "delay", "ktime", "timer", "wait", "workqueue"],
	declarations: `
static struct timer_list timer;
static struct workqueue_struct *queue;
static DECLARE_COMPLETION(all);
static DECLARE_WAIT_QUEUE_HEAD(wq);
static int ticks, works;
static void timer_func(struct timer_list *t)
{
	if (++ticks < 3)
		mod_timer(t, jiffies + 2);
	else
		complete_all(&all);
}
static void work_func(struct work_struct *work)
{
	works++;
	wake_up_interruptible(&wq);
}
static DECLARE_WORK(work, work_func);
static DECLARE_DELAYED_WORK(dwork, work_func);`,
	init: `
	ktime_t start = ktime_get();
	unsigned long left;

	timer_setup(&timer, timer_func, 0);
	mod_timer(&timer, jiffies + 2);
	left = wait_for_completion_timeout(&all, 100);
	pr_info("ticks %d, left %d, pending %d\\n", ticks, left > 0 && left < 100, timer_pending(&timer));
	wait_for_completion(&all);
	queue = alloc_workqueue("lib", WQ_UNBOUND, 0);
	queue_work(queue, &work);
	queue_delayed_work(queue, &dwork, 10 * HZ);
	left = wait_event_interruptible_timeout(wq, works == 1, HZ);
	pr_info("in time %d, later %ld, pending %d\\n", left > 0, wait_event_timeout(wq, works == 2, 3),
		delayed_work_pending(&dwork));
	mod_delayed_work(queue, &dwork, 20 * HZ);
	flush_delayed_work(&dwork);
	flush_workqueue(queue);
	pr_info("works %d\\n", works);
	destroy_workqueue(queue);
	usleep_range(1000, 2000);
	pr_info("time passes %d\\n", ktime_to_ms(ktime_sub(ktime_get(), start)) > 0);`,
	exit: "timer_shutdown_sync(&timer);",
	dmesg: ["m: ticks 3, left 1, pending 0", "m: in time 1, later 0, pending 1", "m: works 2", "m: time passes 1"],
};

const THREADS: Part = {
	includes: ["kthread"],
	declarations: `
static struct task_struct *looper, *never;
static int rounds;
static int looper_func(void *data)
{
	while (!kthread_should_stop()) {
		rounds++;
		schedule_timeout_interruptible(2);
	}
	pr_info("%s stops\\n", current->comm);
	return *(int *)data;
}`,
	init: `
	static int answer = 42;

	looper = kthread_run(looper_func, &answer, "looper/%d", 7);
	never = kthread_create(looper_func, &answer, "never");
	pr_info("%s\\n", looper->comm);`,
	exit: `
	pr_info("stopped %d, several rounds %d\\n", kthread_stop(looper), rounds > 2);
	pr_info("stopped %d\\n", kthread_stop(never));`,
	dmesg: ["m: looper/7", "m: looper/7 stops", "m: stopped 42, several rounds 1", "m: stopped -4"],
};

const LIBRARY: Part = {
	includes: ["bsearch", "kobject", "slab", "sort", "string", "sysfs"],
	declarations: `
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static ssize_t a_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf) { return sysfs_emit(buf, "a\\n"); }
static ssize_t b_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf, size_t n) { return n; }
static struct kobj_attribute a = __ATTR_RO(a), b = __ATTR_WO(b);
static struct attribute *both_attrs[] = { &a.attr, &b.attr, NULL };
ATTRIBUTE_GROUPS(both);
static const struct attribute_group twice = { .name = "folder", .attrs = (struct attribute *[]){ &a.attr, &a.attr, NULL } };
static struct kobject *kobj;`,
	init: `
	int v[] = { 5, 3, 9, 1, 7 }, key = 4, *found;
	u8 byte;
	s8 small;
	u64 wide;
	char text[16] = "a-b";

	sort(v, ARRAY_SIZE(v), sizeof(v[0]), compare, NULL);
	found = bsearch(&v[2], v, ARRAY_SIZE(v), sizeof(v[0]), compare);
	pr_info("%d %d %d, %d %d\\n", v[0], v[2], v[4], (int)(found - v), !bsearch(&key, v, ARRAY_SIZE(v), sizeof(v[0]), compare));
	pr_info("%d %d %d %d\\n", kstrtou8("256", 0, &byte), kstrtou8("0x7f\\n", 0, &byte), kstrtos8("-129", 0, &small), kstrtou64("-+1", 0, &wide));
	pr_info("%s %d\\n", strncat(strreplace(text, '-', '+'), "cd", 1), match_string((const char *[]){ "x", "y" }, 2, "y"));
	kobj = kobject_create_and_add("m", kernel_kobj);
	pr_info("%d\\n", sysfs_create_groups(kobj, both_groups));
	pr_info("%d\\n", sysfs_create_file(kobj, &a.attr));
	pr_info("%d\\n", sysfs_create_group(kobj, &twice));
	sysfs_remove_groups(kobj, both_groups);
	pr_info("%d\\n", sysfs_create_file(kobj, &a.attr));
	sysfs_remove_file(kobj, &a.attr);
	pr_info("%d\\n", sysfs_create_files(kobj, (const struct attribute *const *)both_attrs));`,
	exit: `
	sysfs_remove_files(kobj, (const struct attribute *const *)both_attrs);
	kobject_put(kobject_get(kobj));
	kobject_put(kobj);`,
	dmesg: [...["m: 1 5 9, 2 1", "m: -34 0 -34 -22", "m: a+bc 1"], ...["m: 0", "m: -17", "m: -17", "m: 0", "m: 0"]],
};

describe.each(CPU_NAMES)("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, kernel: true });
	});
	afterEach(() => machine.close());

	test.each(Object.entries({ LISTS, LOCKS, BITS, TIME, THREADS, LIBRARY }))("%s", async (_, part) => {
		const text = `#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/module.h>
${part.includes.map((name) => `#include <linux/${name}.h>`).join("\n")}
${part.declarations}
static int __init m_init(void)
{${part.init}
	return 0;
}
static void __exit m_exit(void)
{${part.exit ?? ""}
}
module_init(m_init);
module_exit(m_exit);
MODULE_LICENSE("GPL");
`;
		expect(machine.insmodC("m", await compileModule("m", text))).toBe(0);
		machine.rounds(30);
		expect(machine.it.shell.rmmod("m")).toBe(0);
		expect(machine.dmesg().filter((line) => line.startsWith("m: "))).toEqual(part.dmesg);
	});
});
