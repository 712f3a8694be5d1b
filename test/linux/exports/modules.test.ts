/** Modules in C: what their init, exit, callbacks and works do when they run as guest code, on every Cpu. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { KlpemuError } from "../../../src/base/index.js";
import type { ElfObject } from "../../../src/elf/index.js";
import { wait } from "../../../src/linux/lib/index.js";
import { CPU_NAMES } from "../../../src/node/index.js";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const [ENOENT, EAGAIN, ENOMEM, ENODEV, EBUSY, EINVAL] = [-2, -11, -12, -19, -16, -22];

const HEAD = `
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/delay.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
MODULE_LICENSE("GPL");
`;
/** A livepatch of funcA with all four callbacks; `body` comes before its init. */
const livepatch = (init: string, body = "") => `${HEAD}
MODULE_INFO(livepatch, "Y");
static int ret;
module_param(ret, int, 0644);
long weigh(long x);
static noinline long new_funcA(long x) { return 1000 * x + 9100 + weigh(x); }
static int pre_patch(struct klp_object *obj) { pr_info("%s %s\\n", __func__, obj->mod ? obj->mod->name : "vmlinux"); return ret; }
static void post_patch(struct klp_object *obj) { pr_info("%s %d\\n", __func__, obj->patched); }
static void pre_unpatch(struct klp_object *obj) { pr_info("%s\\n", __func__); }
static void post_unpatch(struct klp_object *obj) { pr_info("%s %d\\n", __func__, obj->patched); }
static struct klp_func funcs[] = { { .old_name = "funcA", .new_func = new_funcA }, { } };
static struct klp_object objs[] = { { .funcs = funcs, .callbacks = { pre_patch, post_patch, pre_unpatch, post_unpatch } }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
${body}
static int lp_init(void) { ${init} }
static void lp_exit(void) { pr_info("%s\\n", __func__); }
module_init(lp_init);
module_exit(lp_exit);
`;
const plain = (init: string, body = "", exit = "") => `${HEAD}${body}
static int m_init(void) { ${init} }
static void m_exit(void) { ${exit} }
module_init(m_init);
module_exit(m_exit);
`;

describe.each(CPU_NAMES)("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, kernel: true, cpus: 2 });
	});
	afterEach(() => machine.close());

	const load = async (name: string, text: string, params?: Record<string, string>) =>
		machine.insmodC(name, await compileModule(name, text), params);
	let bad: ElfObject;
	beforeAll(async () => {
		bad = await compileModule("n", plain("complete((void *)0xffffffff99999000); return 0;"));
	});
	const lines = (name: string) => machine.dmesg(`${name}: `).map((line) => line.slice(name.length + 2));

	test("a livepatch patches, runs its callbacks in order with what they may see, and unpatches", async () => {
		const task = machine.task("t", "funcA");
		const before = machine.call(task, "funcA");
		expect(await load("lp", livepatch("return klp_enable_patch(&patch);"))).toBe(0);
		machine.settle();
		expect(machine.call(task, "funcA")).toBe(before + 9000);
		expect(machine.echo("0", "lp/enabled")).toBe(0);
		machine.settle();
		expect(machine.call(task, "funcA")).toBe(before);
		expect(machine.it.shell.rmmod("lp")).toBe(0);
		const noise = /^livepatch|TAINT/;
		expect(lines("lp").filter((line) => !noise.test(line))).toEqual([
			...["pre_patch vmlinux", "post_patch 1", "pre_unpatch", "post_unpatch 0", "lp_exit"],
		]);
		expect(machine.it.heap.count).toBe(0);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});

	test("an errno of pre_patch refuses the module, which is removed", async () => {
		const before = machine.text();
		expect(await load("lp", livepatch("return klp_enable_patch(&patch);"), { ret: "-19" })).toBe(ENODEV);
		expect(machine.it.modules.size).toBe(0);
		expect(machine.func_stack("funcA")).toEqual([]);
		expect(machine.text()).toEqual(before);
		expect(machine.it.heap.count).toBe(0);
	});

	test.each([
		["patch is NULL", "return klp_enable_patch(NULL);"],
		["no module", "patch.mod = NULL; return klp_enable_patch(&patch);"],
		["no objects", "patch.objs = NULL; return klp_enable_patch(&patch);"],
		["an object without functions", 'objs[0].name = "x"; objs[0].funcs = NULL; return klp_enable_patch(&patch);'],
	])("[rule 1.1] %s is -EINVAL, without a message", async (_what, init) => {
		expect(await load("lp", livepatch(init))).toBe(EINVAL);
		expect(machine.dmesg("livepatch:")).toEqual([]);
	});

	test("an object whose list of functions is empty is fine: callbacks need no functions", async () => {
		expect(await load("lp", livepatch("funcs[0] = funcs[1]; return klp_enable_patch(&patch);"))).toBe(0);
		machine.settle();
		expect(lines("lp")).toContain("post_patch 1");
	});

	test("[rule 1.2] without MODULE_INFO(livepatch) it is no livepatch module", async () => {
		const text = livepatch("return klp_enable_patch(&patch);").replace('MODULE_INFO(livepatch, "Y");', "");
		expect(await load("lp", text)).toBe(EINVAL);
		expect(machine.dmesg("livepatch:")).toEqual(["livepatch: module lp is not marked as a livepatch module"]);
	});

	test("[rule 5.6] states: klp_get_state() of its own patch, klp_get_prev_state() only in a transition", async () => {
		const body = `
static struct klp_state states[] = { { .id = 7, .version = 3 }, { } };
static void look(const char *when) {
	pr_info("%s %d %d %d\\n", when, klp_get_state(&patch, 7) == states, klp_get_state(&patch, 8) == NULL, klp_get_prev_state(7) == NULL);
}
static int cb(struct klp_object *obj) { look("callback"); return 0; }`;
		const init =
			'patch.states = states; objs[0].callbacks.pre_patch = cb; look("init"); return klp_enable_patch(&patch);';
		expect(await load("lp", livepatch(init, body))).toBe(0);
		expect(lines("lp").filter((line) => /^init|^callback/.test(line))).toEqual(["init 1 1 1", "callback 1 1 1"]);
		expect(machine.it.dmesg.warnings).toEqual(["klp_get_prev_state: !klp_transition_patch"]);
	});

	test("a callback's stack reaches down to the module's init, through TypeScript", async () => {
		let seen: string[] = [];
		machine.it.dmesg.printText = new Proxy(machine.it.dmesg.printText, {
			apply(print, self, args) {
				if (String(args[1]).includes("pre_patch")) {
					machine.it.shell.task.regs.words.set(machine.it.cpu.state.words);
					const trace = machine.it.unwinder.walk(machine.it.shell.task);
					expect(trace.reliable).toBe(true);
					seen = trace.entries.map((entry) => machine.it.symbolize(entry).replace(/\+.*/, ""));
				}
				return Reflect.apply(print, self, args);
			},
		});
		expect(await load("lp", livepatch("int err = klp_enable_patch(&patch); barrier(); return err;"))).toBe(0);
		expect(seen).toEqual([
			...["_printk", "pre_patch", "call_from_host", "klp_enable_patch", "init_module", "call_from_host", "host_bottom"],
		]);
	});

	test("a callback may sleep: other tasks run, and no other task gets klp_mutex", async () => {
		const body = "static int slow(struct klp_object *obj) { msleep(1000); return 0; }";
		const init = "objs[0].callbacks.pre_patch = slow; return klp_enable_patch(&patch);";
		machine.task("t", "funcB");
		const start = machine.it.sched.jiffies;
		let calls = 0;
		machine.it.observe({ call: () => calls++ });
		expect(await load("lp", livepatch(init, body))).toBe(0);
		expect(machine.it.sched.jiffies - start).toBeGreaterThanOrEqual(machine.it.hz);
		expect(calls).toBeGreaterThan(0);
	});

	test("works run on kworkers, where they may sleep; flush_work() and cancel wait for them", async () => {
		const body = `
static void slow(struct work_struct *work) { pr_info("slow enter\\n"); msleep(500); pr_info("slow exit\\n"); }
static void quick(struct work_struct *work) { pr_info("quick\\n"); }
static DECLARE_WORK(slow_work, slow);
static DECLARE_WORK(quick_work, quick);
static DECLARE_DELAYED_WORK(never, quick);`;
		const init = `
	bool first = schedule_work(&slow_work);
	pr_info("%d %d\\n", first, schedule_work(&slow_work));
	msleep(100);
	schedule_work(&quick_work); flush_work(&quick_work);
	schedule_delayed_work(&never, 1000000);
	return 0;`;
		const exit = 'pr_info("%d\\n", cancel_delayed_work_sync(&never)); flush_work(&slow_work); pr_info("bye\\n");';
		expect(await load("m", plain(init, body, exit))).toBe(0);
		expect(lines("m")).toEqual(["1 0", "slow enter", "quick"]);
		expect(machine.it.sched.tasks.map(({ comm }) => comm)).toContain("kworker/0:3");
		expect(machine.it.shell.rmmod("m")).toBe(0);
		expect(lines("m")).toEqual(["1 0", "slow enter", "quick", "1", "slow exit", "bye"]);
	});

	test("a delayed work that is cancelled never runs; one that queues itself ends with its cancellation", async () => {
		const body = `
static void never(struct work_struct *work) { pr_info("never\\n"); }
static void again(struct work_struct *work);
static DECLARE_DELAYED_WORK(never_work, never);
static DECLARE_DELAYED_WORK(again_work, again);
static void again(struct work_struct *work) { pr_info("again\\n"); msleep(500); schedule_delayed_work(&again_work, 1); }`;
		const init = `
	schedule_delayed_work(&never_work, 5);
	schedule_delayed_work(&again_work, 1);
	cancel_delayed_work_sync(&never_work);
	msleep(1200);
	cancel_delayed_work_sync(&again_work);
	return 0;`;
		expect(await load("m", plain(init, body))).toBe(0);
		const before = lines("m");
		expect(before.filter((line) => line === "again").length).toBeGreaterThan(1);
		machine.rounds(100);
		expect(lines("m")).toEqual(before);
		expect(before).not.toContain("never");
	});

	test("a kworker that is made during a transition is where the others are", async () => {
		const body = "static void w(struct work_struct *work) { } static DECLARE_WORK(work, w);";
		const sleeper = machine.sleeper("sleeper", "funcA");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		expect(await load("m", plain("schedule_work(&work); flush_work(&work); return 0;", body))).toBe(0);
		const [first, second] = ["kworker/0:1", "kworker/0:2"].map((name) => machine.it.sched.find(name)!);
		expect(second!.patch_state).toBe(first!.patch_state);
		machine.it.tasks.wake(sleeper);
		machine.settle();
		expect(machine.it.dmesg.warnings).toEqual([]);
	});

	test("a host function may call the guest, and sleep after that: its caller's registers are as they were", async () => {
		const body = "noinline long slow(long x) { long y = x; msleep(1); return 100 * y + x; }";
		expect(await load("m", plain("return 0;", body))).toBe(0);
		const { hostCalls, sched } = machine.it;
		const weigh = machine.addr("weigh");
		hostCalls.add({
			plain: {},
			sleeping: {
				*msleep() {
					expect(yield* machine.it.calls.call(weigh, 3n)).toBe(4n);
					const end = sched.jiffies + 3;
					yield wait("msleep", () => sched.jiffies >= end);
					return undefined;
				},
			},
		});
		const task = machine.task("t", "weigh");
		expect(machine.call(task, "slow")).toBe(101 * task.pid);
	});

	test("a mutex keeps a second task out until it is unlocked", async () => {
		const body = `
static DEFINE_MUTEX(lock);
noinline long locked(long x) { long y; mutex_lock(&lock); pr_info("in\\n"); y = x + 1; msleep(300); pr_info("out\\n"); mutex_unlock(&lock); return y; }`;
		expect(await load("m", plain("return 0;", body))).toBe(0);
		const tasks = [machine.task("a", "locked"), machine.task("b", "locked")];
		machine.until(() => lines("m").length >= 8);
		const all = lines("m");
		expect(all.slice(0, 8)).toEqual(Array.from({ length: 4 }, () => ["in", "out"]).flat());
		machine.until(() => tasks.every((task) => task.lastResult === BigInt(task.pid + 1)));
	});

	test("[rule 5.7] shadow variables: attached, found again, constructed once, a duplicate warns, all freed", async () => {
		const init = `
	int one, two, *a, *b;
	a = klp_shadow_alloc(&one, 5, sizeof(int), GFP_KERNEL, ctor, &two);
	b = klp_shadow_get_or_alloc(&one, 5, sizeof(int), GFP_KERNEL, ctor, &two);
	pr_info("%d %d %d\\n", a == b, *a, klp_shadow_get(&two, 5) == NULL);
	pr_info("%d\\n", klp_shadow_alloc(&one, 5, sizeof(int), GFP_KERNEL, ctor, &two) == NULL);
	pr_info("%d\\n", klp_shadow_alloc(&one, 6, sizeof(int), GFP_KERNEL, ctor, NULL) == NULL);
	klp_shadow_get_or_alloc(&two, 5, sizeof(int), GFP_KERNEL, NULL, NULL);
	klp_shadow_free_all(5, dtor);
	pr_info("%d\\n", klp_shadow_get(&one, 5) == NULL);
	return 0;`;
		const body = `
static int ctor(void *obj, void *data, void *ctor_data) { if (!ctor_data) return -EINVAL; *(int *)data = 42; return 0; }
static void dtor(void *obj, void *data) { pr_info("dtor %d\\n", *(int *)data); }`;
		expect(await load("m", plain(init, body))).toBe(0);
		expect(lines("m")).toEqual(["1 42 1", "1", "1", "dtor 42", "dtor 0", "1"]);
		expect(machine.it.dmesg.warnings).toEqual([expect.stringMatching(/^Duplicate shadow variable <0x[0-9a-f]+, 5>$/)]);
		expect(machine.dmesg("Failed to construct")).toHaveLength(1);
		expect(machine.it.exports.shadow.count).toBe(0);
		expect(machine.it.heap.count).toBe(0);
	});

	test("no memory: kmalloc() and klp_shadow_alloc() are NULL, and the module's -ENOMEM comes out of insmod", async () => {
		const init = `
	void *p = kmalloc(8, GFP_KERNEL);
	int *s;
	if (!p) return -ENOMEM;
	s = klp_shadow_alloc(p, 1, sizeof(*s), GFP_KERNEL, NULL, NULL);
	if (s) klp_shadow_free(p, 1, NULL);
	kfree(p);
	return s ? 0 : -ENOMEM;`;
		const object = await compileModule("m", plain(init));
		for (const site of ["kmalloc(shell)", "klp_shadow(shell)"]) {
			machine.it.faults.should_fail = (where) => where === site;
			expect(machine.insmodC("m", object)).toBe(ENOMEM);
			expect([machine.it.heap.count, machine.it.exports.shadow.count, machine.it.modules.size]).toEqual([0, 0, 0]);
		}
		machine.it.faults.should_fail = () => false;
		expect(machine.insmodC("m", object)).toBe(0);
	});

	test("a file whose module has gone kills who reads it, as an oops in the system call does", async () => {
		const body = `
static struct kobject *k;
static ssize_t show(struct kobject *kobj, struct kobj_attribute *attr, char *buf) { return sysfs_emit(buf, "x\\n"); }
static struct kobj_attribute f = __ATTR_RO(show);`;
		const init = `k = kobject_create_and_add("k", kernel_kobj); return sysfs_create_file(k, &f.attr);`;
		expect(await load("m", plain(init, body.replace("show(struct", "show_show(struct")))).toBe(0);
		const { shell } = machine.it;
		expect([shell.read("/sys/kernel/k/show"), machine.it.files.rights("/sys/kernel/k/show")]).toEqual([
			"x\n",
			"-r--r--r--",
		]);
		expect(shell.rmmod("m")).toBe(0);
		// The kernel knows the mode of the file from its creation.
		expect(machine.it.files.rights("/sys/kernel/k/show")).toBe("-r--r--r--");
		const dead = shell.task;
		expect(() => shell.read("/sys/kernel/k/show")).toThrow(
			/shell died in guest code: BUG: unable to handle page fault/,
		);
		expect(machine.dmesg("BUG: unable to handle page fault for address")).toHaveLength(1);
		expect(machine.dmesg("RIP: 0010:system call of shell (read at 0x")).toHaveLength(1);
		expect(shell.task).not.toBe(dead);
		expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(0);
	});

	test("an init that crashes kills the shell, as an oops in insmod does; the next command has a new one", async () => {
		const dead = machine.it.shell.task;
		let error: unknown;
		try {
			await load("m", plain("*(volatile int *)8 = 1; return 0;"));
		} catch (thrown) {
			error = thrown;
		}
		expect(error).toBeInstanceOf(KlpemuError);
		expect((error as KlpemuError).code).toBe("GUEST_OOPS");
		expect(machine.dmesg("BUG: unable to handle page fault for address: 0x0000000000000008")).toHaveLength(1);
		expect(machine.it.shell.task).not.toBe(dead);
		// Its init never came back: it can neither be used nor be removed.
		expect(machine.it.shell.rmmod("m")).toBe(EBUSY);
		expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(0);
		machine.settle();
	});

	test("an init that waits for ever is told of, and the shell can go on with something else", async () => {
		const body = "static DECLARE_COMPLETION(nobody);";
		const object = await compileModule("m", plain("wait_for_completion(&nobody); return 0;", body));
		expect(() => machine.insmodC("m", object)).toThrow("shell waits for ever: wait_for_completion");
		expect(machine.it.shell.rmmod("m")).toBe(EBUSY);
		expect(machine.it.shell.read("/sys/module/m/initstate")).toBe("coming\n");
		expect(await load("n", plain('pr_info("fine\\n"); return 0;'))).toBe(0);
		expect(lines("n")).toEqual(["fine"]);
		expect(machine.it.unwinder.stack_trace_save_tsk_reliable(machine.it.shell.task)).toEqual([]);
	});

	test("a bad pointer to a host function is an oops of the caller, in a task and in an init", async () => {
		const body = `
noinline long unlocks(long x) { mutex_unlock((void *)0xffffffff99999000); return x; }
noinline long locks(long x) { mutex_lock((void *)0xffffffff99999000); return x; }
static void w(struct work_struct *work) { complete((void *)0xffffffff99999000); }
static DECLARE_WORK(work, w);`;
		expect(await load("m", plain("schedule_work(&work); return 0;", body))).toBe(0);
		const tasks = [machine.task("a", "unlocks"), machine.task("b", "locks")];
		machine.until(() => tasks.every(({ oops }) => oops !== undefined));
		machine.until(() => machine.dmesg("RIP: 0010:").length === 3);
		const where = machine
			.dmesg("RIP: 0010:")
			.map((line) => line.replace(/ \(nothing is mapped at 0xffffffff99999000\)$/, ""));
		expect(where.sort()).toEqual(["complete", "mutex_lock", "mutex_unlock"].map((name) => `RIP: 0010:${name}`));
		expect(() => machine.insmodC("n", bad)).toThrow("died in guest code");
	});

	test("a module that goes without its work: the kworker dies of it", async () => {
		const body =
			'static void w(struct work_struct *work) { pr_info("never\\n"); } static DECLARE_DELAYED_WORK(work, w);';
		expect(await load("m", plain("schedule_delayed_work(&work, 50); return 0;", body))).toBe(0);
		expect(machine.it.shell.rmmod("m")).toBe(0);
		machine.rounds(100);
		expect(machine.dmesg("unable to handle page fault")).toHaveLength(1);
		expect(lines("m")).toEqual([]);
	});

	test("a transition goes on while a module's init sleeps, and stands still while a callback does", async () => {
		const body = "static int slow(struct klp_object *obj) { msleep(4000); return 0; }";
		const init = "int err = klp_enable_patch(&patch); msleep(4000); return err;";
		const task = machine.sleeper("sleeper", "funcA");
		const object = await compileModule("lp", livepatch(init, body));
		machine.it.observe({
			point: (point) => {
				if (point === "klp_init_transition: patch_state") machine.it.tasks.wake(task);
			},
		});
		expect(machine.insmodC("lp", object)).toBe(0);
		// It was completed by the kworker in those four seconds.
		expect(machine.cat("lp/transition")).toBe("0");
		expect(lines("lp").at(-1)).toBe("post_patch 1");
	});

	test("refused: an undefined symbol; in use; an init without an exit", async () => {
		expect(await load("m", plain("extern int nowhere(void); return nowhere();"))).toBe(ENOENT);
		expect(machine.dmesg("nowhere")).toHaveLength(1);
		expect(await load("base", plain("return 0;", "long exported(long x) { return x; }"))).toBe(0);
		expect(await load("user", plain("extern long exported(long); return exported(0);"))).toBe(0);
		expect(machine.it.shell.rmmod("base")).toBe(EAGAIN);
		expect(machine.it.shell.rmmod("user")).toBe(0);
		expect(machine.it.shell.rmmod("base")).toBe(0);
		const forever = plain("return 0;").replace("module_exit(m_exit);", "void *keep = m_exit;");
		expect(await load("stays", forever)).toBe(0);
		expect(machine.it.shell.rmmod("stays")).toBe(EBUSY);
	});
});
