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

const modules = new HeaderModules();
beforeAll(() => modules.build({ target: TARGET, user: USER, lp: LIVEPATCH }));

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
