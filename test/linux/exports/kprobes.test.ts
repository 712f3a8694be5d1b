/** register_kretprobe() of modules in C: hooked returns, and what the unwinder makes of them. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { TASK_INTERRUPTIBLE } from "../../../src/linux/sched/index.js";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const PROBES = `
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/string.h>

#ifndef MAX
#define MAX 0
#endif

static int entry(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	if (regs->di == 99)
		return 1;
	*(unsigned long *)ri->data = regs->di;
	return 0;
}
static int handler(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	pr_info("%s(%ld) = %ld, to %pS\\n", get_kretprobe(ri)->kp.symbol_name, *(long *)ri->data, (long)regs_return_value(regs),
		(void *)get_kretprobe_retaddr(ri));
	return 0;
}
static int second(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	pr_info("second: %ld, ip %pS\\n", (long)regs_return_value(regs), (void *)instruction_pointer(regs));
	return 0;
}
static struct kretprobe a = { .kp.symbol_name = "funcA", .entry_handler = entry, .handler = handler, .data_size = 8, .maxactive = MAX };
static struct kretprobe b = { .kp.symbol_name = "funcA", .handler = second };
static struct kretprobe c = { .kp.symbol_name = "no_such_function" };
static struct kretprobe d = { .kp.symbol_name = "funcA", .data_size = 5000 };
/* Both a name and an address, and neither. */
static struct kretprobe e = { .kp.symbol_name = "funcA", .kp.addr = (void *)1 };
static struct kretprobe f;
static struct kretprobe by_address;
int missed(void) { return a.nmissed; }

static int __init probes_init(void)
{
	int ret = register_kretprobe(&a);

	pr_info("%d %d %d %d\\n", ret, register_kretprobe(&a), register_kretprobe(&c), register_kretprobe(&d));
	pr_info("e: %d f: %d\\n", register_kretprobe(&e), register_kretprobe(&f));
	/* One that was never registered. */
	unregister_kretprobe(&c);
	return ret;
}
static void __exit probes_exit(void) { unregister_kretprobe(&a); }
long more(void) { return register_kretprobe(&b); }
long at(long address) { by_address.kp.addr = (void *)address; return register_kretprobe(&by_address); }
long fewer(void) { unregister_kretprobe(&b); return 0; }
module_init(probes_init);
module_exit(probes_exit);
MODULE_LICENSE("GPL");
`;

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine({ cpus: 2, kernel: true });
});
afterEach(() => machine.close());

const insmod = async (text = PROBES) => machine.insmodC("probes", await compileModule("probes", text));
const log = () => machine.dmesg("funcA(").map((line) => line.replace(/^.*(funcA\()/, "$1"));
const names = (entries: readonly number[] | undefined) =>
	entries?.map((ip) => machine.it.symbolize(ip).replace(/\+.*/, ""));

test("entry and return of a function; the entry handler may decline; errors are the kernel's", async () => {
	const task = machine.task("worker", "untraced");
	const before = machine.call(task, "funcC");
	expect(await insmod()).toBe(0);
	// Twice -EINVAL, an unknown symbol -ENOENT, too much data -E2BIG.
	expect(machine.dmesg("0 -22 -2 -7").length).toBe(1);
	expect(machine.dmesg("e: -22 f: -22").length).toBe(1);
	expect(machine.call(task, "funcC")).toBe(before);
	const { pid } = task;
	expect(log()[0]).toMatch(new RegExp(`^funcA\\(${pid}\\) = ${1000 * pid + 100}\\d?|.*, to funcC\\+0x`));
	const lines = log().length;
	machine.it.tasks.callOnce(task, machine.addr("funcA"), 1000, [99n]);
	expect(log().length).toBe(lines);
	expect(machine.it.shell.rmmod("probes")).toBe(0);
	expect([machine.call(task, "funcC"), log().length]).toEqual([before, lines]);
});

test("two probes of one function: both handlers run, the newest first", async () => {
	const task = machine.task("worker", "untraced");
	const before = machine.call(task, "funcA");
	await insmod();
	expect(machine.call(task, "more")).toBe(0);
	expect(machine.call(task, "funcA")).toBe(before);
	const own = () => machine.dmesg().filter((line) => /funcA\(|second/.test(line));
	expect(own().map((line) => /funcA\(|second/.exec(line)![0])).toEqual(["funcA(", "second"]);
	expect(own()[1]).toMatch(new RegExp(`second: ${before}, ip do_syscall_64\\+`));
	expect(machine.call(task, "fewer")).toBe(0);
	expect(machine.call(task, "funcA")).toBe(before);
	expect(own().length).toBe(3);
});

test("two probes of one call share a word of the stack: the older hook has the caller's address", async () => {
	await insmod();
	machine.call(machine.task("worker", "untraced"), "more");
	const asleep = machine.it.tasks.add({
		...{ name: "asleep", kthread: false, calls: [machine.addr("funcC")], interruptible: true },
		sleepAt: () => [(machine.site("funcA") + 5) | 0],
	});
	machine.until(() => asleep.__state === TASK_INTERRUPTIBLE);
	expect(asleep.rethooks).toHaveLength(2);
	const trace = machine.it.unwinder.stack_trace_save_tsk_reliable(asleep);
	expect(names(trace)).toEqual(["funcA", "funcC", "do_syscall_64", "entry_SYSCALL_64"]);
});

test("a call without an instance is counted; instances of dead tasks come back", async () => {
	await insmod(`#define MAX 1\n${PROBES}`);
	const inside = machine.sleeper("sleeper", "funcA");
	const task = machine.task("worker", "untraced");
	machine.call(task, "funcA");
	expect([machine.call(task, "missed"), log()]).toEqual([1, []]);
	machine.it.tasks.wake(inside);
	machine.until(() => inside.mode === "user");
	machine.it.tasks.exit(inside);
	machine.call(task, "funcA");
	expect([machine.call(task, "missed"), log().length >= 2]).toEqual([1, true]);
});

test("the unwinder finds the caller of a task that sleeps; one that is preempted is unreliable", async () => {
	await insmod();
	const add = (name: string, interruptible: boolean) =>
		machine.it.tasks.add({
			name,
			kthread: false,
			calls: [machine.addr("funcC")],
			sleepAt: () => [(machine.site("funcA") + 5) | 0],
			interruptible,
		});
	const asleep = add("asleep", true);
	const preempted = add("preempted", false);
	machine.until(() => asleep.__state === TASK_INTERRUPTIBLE && preempted.held);
	const { unwinder, tasks } = machine.it;
	expect(names(unwinder.stack_trace_save_tsk_reliable(asleep))).toEqual([
		"funcA",
		"funcC",
		"do_syscall_64",
		"entry_SYSCALL_64",
	]);
	expect(unwinder.stack_trace_save_tsk_reliable(preempted)).toBe(undefined);
	// Livepatch waits for both, for the one because it is in funcA, for the other because nobody knows.
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.rounds(20);
	expect([asleep.patch_state, preempted.patch_state]).toEqual([0, 0]);
	for (const task of [asleep, preempted]) tasks.wake(task);
	machine.settle();
	const task = machine.task("worker", "untraced");
	expect(machine.call(task, "funcA") - 1000 * task.pid).toBeGreaterThanOrEqual(1100);
	expect(log().at(-1)).toMatch(/^funcA\(/);
});

test("a probe that goes while a call is inside: the call still returns", async () => {
	await insmod();
	const inside = machine.sleeper("sleeper", "funcA");
	expect(inside.rethooks.length).toBe(1);
	const { heap } = machine.it;
	expect(machine.it.shell.rmmod("probes")).toBe(0);
	const objects = heap.count;
	machine.it.tasks.wake(inside);
	machine.until(() => inside.mode === "user");
	expect([inside.oops, inside.rethooks, heap.count, log()]).toEqual([undefined, [], objects - 1, []]);
});

test("a probe by address, without handlers, changes nothing", async () => {
	const task = machine.task("worker", "untraced");
	const before = machine.call(task, "funcB");
	await insmod();
	expect(machine.it.tasks.callOnce(task, machine.addr("at"), 1000, [BigInt(machine.addr("funcB"))])).toBe(0n);
	expect(machine.call(task, "funcB")).toBe(before);
});

test("a place that is no fentry site is refused by name", async () => {
	const text = PROBES.replace('c = { .kp.symbol_name = "no_such_function"', 'c = { .kp.symbol_name = "untraced"');
	await expect(insmod(text)).rejects.toThrow(/register_kretprobe\(\): untraced\+0x0\/0x\w+ is no entry of a function/);
});

const PLAIN = `
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/printk.h>

static long tell(struct kprobe *p, struct pt_regs *regs, const char *what)
{
	pr_info("funcA(%s): %s %ld, %pS, flags %d\\n", p->symbol_name, what, (long)regs->di, (void *)regs->ip, (int)p->nmissed);
	return 0;
}
noinline long instead(void) { return 7; }
static int pre(struct kprobe *p, struct pt_regs *regs) { return tell(p, regs, "pre"); }
static int last(struct kprobe *p, struct pt_regs *regs) { return tell(p, regs, "last"); }
static void post(struct kprobe *p, struct pt_regs *regs, unsigned long flags) { tell(p, regs, "post"); }
static int jump(struct kprobe *p, struct pt_regs *regs)
{
	regs->ip = (unsigned long)instead;
	return 1;
}
static struct kprobe a = { .symbol_name = "funcA", .pre_handler = pre };
static struct kprobe b = { .symbol_name = "funcA", .pre_handler = last };
static struct kprobe c = { .symbol_name = "funcA", .pre_handler = pre, .post_handler = post };
static struct kprobe d = { .symbol_name = "funcA", .pre_handler = jump };
static struct kprobe none = { .symbol_name = "no_such_function" };
static struct kprobe both = { .symbol_name = "funcA", .addr = (void *)instead };
long errors(void) { return register_kprobe(&none) * 100 + register_kprobe(&both); }
long twice(void) { return register_kprobe(&a); }
#define PROBE(x) long add_##x(void) { x.addr = NULL; return register_kprobe(&x); } \\
	long del_##x(void) { unregister_kprobe(&x); return 0; }
PROBE(a) PROBE(b) PROBE(c) PROBE(d)
MODULE_LICENSE("GPL");
`;

async function plain() {
	expect(await insmod(PLAIN)).toBe(0);
	const task = machine.task("worker", "untraced");
	return { task, call: (func: string) => machine.call(task, func) };
}

test("kprobes: pre_handlers, the newest first; they go by themselves; errors are the kernel's", async () => {
	const { task, call } = await plain();
	const before = machine.it.tasks.callOnce(task, machine.addr("funcA"), 1000, [5n]);
	expect(call("errors")).toBe(-200 - 22);
	expect([call("add_a"), call("twice"), call("add_b")]).toEqual([0, -22, 0]);
	expect(machine.it.tasks.callOnce(task, machine.addr("funcA"), 1000, [5n])).toBe(before);
	// As behind an int3 at the call site.
	expect(log()).toEqual([
		expect.stringMatching(/^funcA\(funcA\): last 5, funcA\+0x(1|5)\/0x\w+, flags 0$/),
		expect.stringMatching(/^funcA\(funcA\): pre 5, funcA\+0x(1|5)\//),
	]);
	call("del_b");
	call("funcA");
	expect(log().map((line) => line.split(" ")[1])).toEqual(["last", "pre", "pre"]);
	call("del_a");
	call("funcA");
	expect(log().length).toBe(3);
	expect(machine.it.shell.rmmod("probes")).toBe(0);
});

test("a pre_handler that returns 1 goes on elsewhere", async () => {
	const { call } = await plain();
	call("add_d");
	expect(call("funcA")).toBe(7);
	call("del_d");
	expect(call("funcA")).not.toBe(7);
});

test("[rule 6.1] a kprobe with a post_handler and a livepatch exclude each other; one without does not", async () => {
	const { call } = await plain();
	const lp1 = () => machine.patch("lp1", ["funcA", "lp1_funcA"]);
	expect(call("add_c")).toBe(0);
	call("funcA");
	expect(log().map((line) => line.split(" ")[1])).toEqual(["pre", "post"]);
	expect(log()[1]).toMatch(/, funcA\+0x(5|9)\//);
	expect(lp1()).toBe(-16);
	call("del_c");
	expect(lp1()).toBe(0);
	machine.settle();
	expect(call("add_c")).toBe(-16);
	expect(call("add_a")).toBe(0);
	call("funcA");
	expect(log().length).toBe(3);
});

test("a post_handler beside a probe without one is refused: the kernel would disarm another ops", async () => {
	const { call } = await plain();
	call("add_a");
	expect(() => call("add_c")).toThrow(/register_kprobe\(\): a post_handler at a place/);
});
