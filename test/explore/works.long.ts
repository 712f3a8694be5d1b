/** Works that modules in C queue, sleeps, and memory that tasks have for a moment. */
import { afterAll, describe, expect, test } from "vitest";
import { OwnSources } from "./support.js";

const own = new OwnSources();
afterAll(() => own.close());

/** The verdict, and the invariant that breaks. */
async function explore(yaml: string, sources: Readonly<Record<string, string>>): Promise<(string | undefined)[]> {
	const { exploration } = await own.explore(yaml, sources, 20_000);
	return [exploration.result, exploration.violations[0]?.broken.invariant];
}

/** `init` and `exit`: their bodies. Another work waits for `work`, and one takes the lock. */
const MODULE = (init: string, exit = "") => `#include <linux/delay.h>
#include <linux/module.h>
#include <linux/workqueue.h>
static int ran;
static DEFINE_MUTEX(lock);
static void work_fn(struct work_struct *w) { ran = 1; }
static void locks_fn(struct work_struct *w) { mutex_lock(&lock); mutex_unlock(&lock); }
static DECLARE_WORK(work, work_fn);
static DECLARE_WORK(locks, locks_fn);
static DECLARE_DELAYED_WORK(delayed, work_fn);
static void waits_fn(struct work_struct *w) { flush_work(&work); msleep(1); }
static DECLARE_WORK(waits, waits_fn);
static int start(void) { ${init} return 0; }
static void stop(void) { ${exit} }
module_init(start);
module_exit(stop);
MODULE_LICENSE("GPL");
`;

describe("a module in C", () => {
	test.each([
		["sleeps for a time", "msleep(10);", "complete", undefined],
		["waits for its work", "schedule_work(&work); flush_work(&work); WARN_ON(!ran);", "complete", undefined],
		["does not wait for its work", "schedule_work(&work); WARN_ON(!ran);", "violated", "warn"],
		["is overtaken by its work", "schedule_work(&work); WARN_ON(ran);", "violated", "warn"],
		["has a work that is due later", "schedule_delayed_work(&delayed, HZ); WARN_ON(ran);", "violated", "warn"],
		[
			"cancels a work that may have run",
			"schedule_work(&work); cancel_work_sync(&work); WARN_ON(ran);",
			"violated",
			"warn",
		],
		[
			"has a work that waits for another",
			"schedule_work(&work); schedule_work(&waits); flush_work(&waits); WARN_ON(!ran);",
			"complete",
			undefined,
		],
		[
			"waits under a lock that its work takes",
			"mutex_lock(&lock); schedule_work(&locks); flush_work(&locks);",
			"violated",
			"deadlock",
		],
	])("%s", async (_, init, ...expected) => {
		const yaml = "vmlinux: [asm/vmlinux/kernel.c]\nmodules: { m: { sources: [m.c] } }\nsteps: [insmod: m]\n";
		expect(await explore(yaml, { "m.c": MODULE(init) })).toEqual(expected);
	});

	test.each([
		["leaves its work behind", "", "violated", "freed-text"],
		["cancels its work", "cancel_work_sync(&locks);", "complete", undefined],
		[
			"cancels its work under the lock that it takes",
			"mutex_lock(&lock); cancel_work_sync(&locks);",
			"violated",
			"deadlock",
		],
	])("that goes %s", async (_, exit, ...expected) => {
		const yaml = "vmlinux: [asm/vmlinux/kernel.c]\nmodules: { m: { sources: [m.c] } }\nsteps: [insmod: m, rmmod: m]\n";
		expect(await explore(yaml, { "m.c": MODULE("schedule_work(&locks);", exit) })).toEqual(expected);
	});
});

/** A livepatch of `old_name`. `before`: C in front of it; `more`: further fields of its object. */
const LIVEPATCH = (old_name: string, before = "", more = "") => `#include <linux/livepatch.h>
${before}static long new_f(long x) { return x; }
static struct klp_func funcs[] = { { .old_name = "${old_name}", .new_func = new_f }, {} };
static struct klp_object objs[] = { { .funcs = funcs, ${more} }, {} };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int start(void) { return klp_enable_patch(&patch); }
static void stop(void) {}
module_init(start);
module_exit(stop);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
`;

test("a work that a callback queues under klp_mutex may run before the callback goes on", async () => {
	const callback = `#include <linux/workqueue.h>
static int ran;
static void work_fn(struct work_struct *w) { WRITE_ONCE(ran, 1); }
static DECLARE_WORK(work, work_fn);
static int pre_patch(struct klp_object *obj) { schedule_work(&work); WARN_ON(READ_ONCE(ran)); return 0; }
`;
	const yaml = `vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c]
livepatches: { lp: { sources: [lp.c] } }
tasks: { parked: { calls: [funcA], idle: true } }
steps: [insmod: lp]
`;
	expect(
		await explore(yaml, { "lp.c": LIVEPATCH("funcA", callback, ".callbacks = { .pre_patch = pre_patch }") }),
	).toEqual(["violated", "warn"]);
});

describe("a task's function", () => {
	const yaml = `vmlinux: [asm/vmlinux/kernel.c, f.c]
livepatches: { lp: { sources: [lp.c] } }
tasks: { worker: { calls: [f] } }
steps: [insmod: lp, settle]
`;
	const run = (body: string) =>
		explore(yaml, {
			"lp.c": LIVEPATCH("f"),
			"f.c": `#include <linux/module.h>\n${body.includes("work") ? "static void run(struct work_struct *w) {}\nstatic DECLARE_WORK(work, run);\n" : ""}static long *kept;\nnoinline long f(long x) { ${body} return x; }\n`,
		});

	test.each([
		["of its own", "long *mine = kmalloc(8, GFP_KERNEL); if (mine) *mine = x; kfree(mine);", "complete"],
		// Another task's memory may be what kfree() gets.
		["that others see", "kept = kmalloc(8, GFP_KERNEL); barrier(); kfree(kept);", "bounded"],
	])("has memory for a moment, %s", async (_, body, verdict) => {
		expect(await run(body)).toEqual([verdict, undefined]);
	});

	test.each([
		["keeps memory", "kfree(kept); kept = kmalloc(8, GFP_KERNEL);", "worker has allocated or freed memory"],
		["queues a work", "schedule_work(&work);", "worker queues a work"],
	])("%s: that is refused, not taken for something else", async (_, body, message) => {
		await expect(run(body)).rejects.toMatchObject({
			code: "EXPLORE_UNSUPPORTED",
			message: expect.stringContaining(message),
		});
	});
});
