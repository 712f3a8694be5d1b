/** Modules that are compiled with the kernel's own headers, by the kernel's own build: what its macros make is understood. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CPUS_AND_CORES, HeaderModules } from "../../support/header-modules.js";
import type { TestMachine } from "../../support/machine.js";

const HEAD = `#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/module.h>
MODULE_LICENSE("GPL");
`;

/** A module that uses what ordinary modules use. */
const TARGET = `${HEAD}
#include <linux/completion.h>
#include <linux/irqflags.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
static DEFINE_STATIC_KEY_FALSE(key);
static DEFINE_PER_CPU(long, counter) = 40;
static DEFINE_SPINLOCK(spin);
static DEFINE_MUTEX(mutex);
static DECLARE_COMPLETION(done);
static DECLARE_WAIT_QUEUE_HEAD(queue);
static LIST_HEAD(list);
struct item { struct list_head node; char text[24]; };
static int level = 3;
module_param(level, int, 0644);
static bool open;

static void work_func(struct work_struct *work)
{
	complete(&done);
}
static DECLARE_WORK(work, work_func);

noinline long target_exported(long x);
noinline long target_exported(long x) { return x + 1; }
EXPORT_SYMBOL_GPL(target_exported);
noinline long target_private(long x);
noinline long target_private(long x) { return x + 2; }
noinline long target_waits(long x);
noinline long target_waits(long x)
{
	wait_event(queue, READ_ONCE(open));
	return current->pid;
}
noinline long target_opens(long x);
noinline long target_opens(long x)
{
	WRITE_ONCE(open, true);
	wake_up(&queue);
	return 0;
}

static int __init target_init(void)
{
	struct item *item = kzalloc(sizeof(*item), GFP_KERNEL);
	unsigned long flags;

	if (!item)
		return -ENOMEM;
	strscpy(item->text, "hello", sizeof(item->text));
	spin_lock_irqsave(&spin, flags);
	list_add(&item->node, &list);
	this_cpu_add(counter, 2);
	spin_unlock_irqrestore(&spin, flags);
	pr_info("key is %s\\n", static_branch_unlikely(&key) ? "on" : "off");
	static_branch_enable(&key);
	pr_info("key is %s\\n", static_branch_unlikely(&key) ? "on" : "off");
	mutex_lock(&mutex);
	schedule_work(&work);
	wait_for_completion(&done);
	mutex_unlock(&mutex);
	// Behind pv_ops, where the configuration has CONFIG_PARAVIRT.
	if (irqs_disabled())
		return -EBUSY;
	queue_work(system_unbound_wq, &work);
	flush_work(&work);
	cond_resched();
	pr_debug("not on\\n");
	pr_info("%s by %s/%d, level %d, counter %ld\\n", item->text, current->comm, current->pid, level, this_cpu_read(counter));
	list_del(&item->node);
	kfree(item);
	return WARN_ON(level == 4) ? -EINVAL : 0;
}
static void __exit target_exit(void) { pr_info("bye\\n"); }
module_init(target_init);
module_exit(target_exit);
`;

const USER = `${HEAD}
long target_exported(long x);
static int __init user_init(void) { pr_info("%ld\\n", target_exported(3)); return 0; }
static void __exit user_exit(void) { }
module_init(user_init);
module_exit(user_exit);
`;

const LIVEPATCH = `${HEAD}
#include <linux/livepatch.h>
MODULE_INFO(livepatch, "Y");
static noinline long new_private(long x) { return x + 2000; }
static int pre_patch(struct klp_object *obj)
{
	pr_info("pre_patch %s, state %d\\n", obj->mod->name, obj->mod->state);
	return 0;
}
static void post_unpatch(struct klp_object *obj) { pr_info("post_unpatch %s\\n", obj->name); }
static struct klp_func funcs[] = { { .old_name = "target_private", .new_func = new_private, .old_sympos = 1 }, { } };
static struct klp_object objs[] = {
	{ .name = "target", .funcs = funcs, .callbacks = { .pre_patch = pre_patch, .post_unpatch = post_unpatch } }, { }
};
static struct klp_state states[] = { { .id = 9, .version = 4 }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs, .states = states, .replace = true };
static int __init lp_init(void)
{
	pr_info("state 9 has version %u\\n", klp_get_state(&patch, 9)->version);
	return klp_enable_patch(&patch);
}
static void __exit lp_exit(void) { }
module_init(lp_init);
module_exit(lp_exit);
`;

/** What the headers make of functions that are inline in asm/include: calls of the kernel, or variables. */
const LIBRARY = `${HEAD}
#include <linux/bitmap.h>
#include <linux/bsearch.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/ratelimit.h>
#include <linux/refcount.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string_helpers.h>
#include <linux/sysfs.h>
#include <linux/vmalloc.h>
static DEFINE_PER_CPU(long, counter) = 3;
static DECLARE_BITMAP(bits, 200);
static refcount_t count = REFCOUNT_INIT(1);
static DEFINE_MUTEX(mutex);
static int which;
module_param(which, int, 0);
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static ssize_t value_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf) { return sysfs_emit(buf, "7\\n"); }
static struct kobj_attribute value = __ATTR_RO(value), hidden = __ATTR(hidden, 0444, value_show, NULL);
static struct attribute *attrs[] = { &value.attr, &hidden.attr, NULL };
static umode_t visible(struct kobject *kobj, struct attribute *attr, int i) { return attr == &hidden.attr ? 0 : 0400; }
static const struct attribute_group group = { .name = "group", .attrs = attrs, .is_visible = visible };
static struct kobject *folder;
static noinline void overflow(size_t n) { char text[8]; OPTIMIZER_HIDE_VAR(n); memset(text, 0, n); pr_info("%s\\n", text); }
static int __init lib_init(void)
{
	int v[] = { 5, 3, 9, 1, 7 }, key = 7, cpu, *found;
	long sum = 0;
	u8 byte;
	void *p = vmalloc(100), *q = kvmalloc(10, GFP_KERNEL);

	if (which == 1)
		overflow(9);
	if (which == 2)
		refcount_inc(&count), refcount_dec(&count), refcount_dec(&count), refcount_inc(&count);
	vfree(p);
	kvfree(q);
	sort(v, ARRAY_SIZE(v), sizeof(v[0]), compare, NULL);
	found = bsearch(&key, v, ARRAY_SIZE(v), sizeof(v[0]), compare);
	pr_info("sorted %d %d, found at %d\\n", v[0], v[4], found ? (int)(found - v) : -1);
	for_each_possible_cpu(cpu)
		sum += ++per_cpu(counter, cpu);
	pr_info("%u of %u CPUs online, sum %ld\\n", num_online_cpus(), num_possible_cpus(), sum);
	bitmap_set(bits, 3, 70);
	bitmap_clear(bits, 5, 66);
	pr_info("bits %u: %lu %lu %lu %lu\\n", bitmap_weight(bits, 200), find_first_bit(bits, 200), find_next_bit(bits, 200, 5),
		find_last_bit(bits, 200), find_next_zero_bit(bits, 200, 3));
	pr_info("kstrtou8 %d %d %d\\n", kstrtou8("256", 0, &byte), kstrtou8("-1", 0, &byte), kstrtou8("255", 0, &byte) ?: byte);
	pr_info("weight %lu %u\\n", hweight64(sum | 0xff00000000ul), hweight32(0xf0f0));
	if (refcount_dec_and_mutex_lock(&count, &mutex))
		pr_info("the last one has the lock: %d\\n", mutex_is_locked(&mutex));
	mutex_unlock(&mutex);
	for (int i = 0; i < 12; i++)
		pr_info_ratelimited("limited\\n");
	udelay(3);
	get_task_struct(current);
	put_task_struct(current);
	folder = kobject_create_and_add("lib", kernel_kobj);
	return sysfs_create_group(folder, &group);
}
static void __exit lib_exit(void)
{
	sysfs_remove_group(folder, &group);
	kobject_put(folder);
}
module_init(lib_init);
module_exit(lib_exit);
`;

const modules = new HeaderModules();
beforeAll(() => modules.build({ target: TARGET, user: USER, lp: LIVEPATCH, lib: LIBRARY }));

describe.each(CPUS_AND_CORES)("on %s, %s core", (cpu, core) => {
	let machine: TestMachine;
	beforeEach(async ({ skip }) => {
		machine = await modules.machine([cpu, core], skip);
	});
	afterEach(() => machine?.close());
	const insmod = (name: string, params?: Record<string, string>) => machine.insmodC(name, modules.get(name), params);

	test("locks, lists, works, keys, per-CPU variables, current: as the kernel's macros make them", () => {
		expect(insmod("target", { level: "5" })).toBe(0);
		const { pid } = machine.it.shell.task;
		expect(machine.dmesg("target: ").slice(1)).toEqual([
			"target: key is off",
			"target: key is on",
			`target: hello by shell/${pid}, level 5, counter 42`,
		]);
		expect(machine.it.dmesg.warnings).toEqual([]);
		expect(machine.it.shell.rmmod("target")).toBe(0);
		expect(machine.dmesg("target: ").at(-1)).toBe("target: bye");
	});

	test("a WARN() is a ud2 with an entry in __bug_table; the errno of init refuses the module", () => {
		expect(insmod("target", { level: "4" })).toBe(-22);
		const where = /^CPU: 0 PID: \d+ at target.c:\d+ target_init\+0x\w+\/0x\w+ \[target\]$/;
		expect(machine.it.dmesg.warnings).toEqual([expect.stringMatching(where)]);
		expect(machine.it.modules.size).toBe(0);
	});

	test("functions of lib/ and mm/, CPU masks, groups of attributes", () => {
		expect(insmod("lib")).toBe(0);
		expect(machine.dmesg("lib: ").slice(1)).toEqual([
			...["lib: sorted 1 9, found at 3", "lib: 2 of 2 CPUs online, sum 8", "lib: bits 4: 3 71 72 5"],
			...["lib: kstrtou8 -34 -22 255", "lib: weight 9 8", "lib: the last one has the lock: 1"],
			...Array(10).fill("lib: limited"),
		]);
		expect(machine.it.files.rights("/sys/kernel/lib/group")).toBe("drwxr-xr-x");
		expect(machine.it.files.rights("/sys/kernel/lib/group/value")).toBe("-r--------");
		expect(machine.it.files.rights("/sys/kernel/lib/group/hidden")).toBeUndefined();
		expect(machine.it.shell.read("/sys/kernel/lib/group/value")).toBe("7\n");
		expect(machine.it.dmesg.warnings).toEqual([]);
		expect(machine.it.shell.rmmod("lib")).toBe(0);
		expect(machine.it.files.rights("/sys/kernel/lib/group")).toBeUndefined();
	});

	test("a refcount that wraps is a WARN()", () => {
		insmod("lib", { which: "2" });
		expect(machine.it.dmesg.warnings).toContain("refcount_warn_saturate: refcount_t: decrement hit 0; leaking memory.");
	});

	test("memset() over the end of an array is caught, as with CONFIG_FORTIFY_SOURCE", () => {
		expect(() => insmod("lib", { which: "1" })).toThrow("Oops: invalid opcode");
		expect(machine.it.dmesg.warnings).toContain("memset: detected buffer overflow: 9 byte write of buffer size 8");
	});

	test("exports: another module uses one, and holds the module", () => {
		expect(insmod("user")).toBe(-2);
		expect(machine.dmesg("user: ")).toContain("user: Unknown symbol target_exported (err -2)");
		expect(insmod("target")).toBe(0);
		expect(insmod("user")).toBe(0);
		expect(machine.dmesg("user: ").at(-1)).toBe("user: 4");
		expect(machine.it.shell.rmmod("target")).toBe(-11);
	});

	test("a livepatch of such a module: callbacks, states, replace; both come and go", () => {
		expect(insmod("target")).toBe(0);
		expect(insmod("lp")).toBe(0);
		machine.settle();
		const task = machine.task("t", "target_private");
		expect(machine.call(task, "target_private")).toBe(task.pid + 2000);
		expect(machine.echo("0", "lp/enabled")).toBe(0);
		machine.settle();
		expect(machine.call(task, "target_private")).toBe(task.pid + 2);
		expect(machine.it.shell.rmmod("lp")).toBe(0);
		expect(machine.dmesg("lp: ").filter((line) => !line.includes("taint"))).toEqual([
			"lp: state 9 has version 4",
			"lp: pre_patch target, state 0",
			"lp: post_unpatch target",
		]);
	});

	test("wait_event() sleeps until wake_up()", () => {
		expect(insmod("target")).toBe(0);
		const waiter = machine.task("waiter", "target_waits");
		machine.rounds(80);
		expect(waiter.__state).toBe(2);
		machine.call(machine.task("t", "target_opens"), "target_opens");
		machine.until(() => waiter.lastResult === BigInt(waiter.pid));
	});
});
