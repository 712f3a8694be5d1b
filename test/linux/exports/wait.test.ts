/** Loops of guest C that wait: set_current_state() with schedule(), wait_event(), and signals that end them. */
import { afterEach, beforeEach, expect, test } from "vitest";
import {
	TASK_IDLE,
	TASK_INTERRUPTIBLE,
	TASK_UNINTERRUPTIBLE,
	type task_struct,
} from "../../../src/linux/sched/index.js";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const SOURCE = `
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/wait.h>
static DECLARE_WAIT_QUEUE_HEAD(wq);
static DECLARE_WAIT_QUEUE_HEAD(other);
static int ready;
static struct task_struct *sleeper;
long interruptible(void) { return wait_event_interruptible(wq, ready); }
long uninterruptible(void) { wait_event(wq, ready); return 5; }
long idle(void) { wait_event_idle(wq, ready); return 6; }
long loop(void)
{
	sleeper = current;
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (ready)
			break;
		schedule();
	}
	set_current_state(TASK_RUNNING);
	return 7;
}
long early(void)
{
	sleeper = current;
	set_current_state(TASK_UNINTERRUPTIBLE);
	wake_up_process(sleeper);
	schedule();
	return 8;
}
long wake_others(void) { ready = 1; wake_up(&other); return 0; }
long wake(void) { ready = 1; wake_up(&wq); if (sleeper) wake_up_process(sleeper); return 0; }
MODULE_LICENSE("GPL");
`;

let machine: TestMachine;
let results: bigint[];
beforeEach(async () => {
	machine = await createTestMachine({ kernel: true });
	expect(machine.insmodC("waits", await compileModule("waits", SOURCE))).toBe(0);
	results = [];
});
afterEach(() => machine.close());

/** A task that is in the function and sleeps there. */
function sleeps(func: string): task_struct {
	const task = machine.task("waiter", func);
	machine.it.observe({ call: (caller, _func, result) => void (caller === task && results.push(result)) });
	machine.until(() => task.__state !== 0);
	return task;
}

test.each([
	["interruptible", TASK_INTERRUPTIBLE, 0n],
	["uninterruptible", TASK_UNINTERRUPTIBLE, 5n],
	["idle", TASK_IDLE, 6n],
	["loop", TASK_INTERRUPTIBLE, 7n],
])("%s() sleeps until the condition holds and it is woken", (func, state, result) => {
	const task = sleeps(func);
	expect(task.__state).toBe(state);
	machine.call(machine.task("waker", "untraced"), "wake_others");
	machine.rounds(20);
	expect(results).toEqual([]);
	machine.call(machine.task("waker2", "untraced"), "wake");
	machine.until(() => results.length > 0);
	expect(results[0]).toBe(result);
});

test("a wake-up between set_current_state() and schedule() is not lost", () => {
	expect(machine.call(machine.task("t", "untraced"), "early")).toBe(8);
});

test("[rule 3.17] the signal of a transition ends wait_event_interruptible() with -ERESTARTSYS, and the task switches", () => {
	const task = sleeps("interruptible");
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.it.sched.set_notify_signal(task);
	machine.until(() => results.length > 0);
	expect(BigInt.asIntN(64, results[0]!)).toBe(-512n);
	machine.settle();
	expect(task.patch_state).toBe(-1);
});

test("the signal does not end wait_event()", () => {
	const task = sleeps("uninterruptible");
	machine.it.sched.set_notify_signal(task);
	machine.rounds(20);
	expect([task.__state, results]).toEqual([TASK_UNINTERRUPTIBLE, []]);
});

const YIELDS = `
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/sched.h>
static int turn;
int set;
long first(void) { for (int i = 0; i < 5; i++) { while (READ_ONCE(turn) % 2) schedule(); turn++; } return turn; }
long second(void) { for (int i = 0; i < 5; i++) { while (READ_ONCE(turn) % 2 == 0) schedule_timeout(100); turn++; } return turn; }
long sets(void) { WRITE_ONCE(set, 1); return 3; }
static int start(void) { while (!READ_ONCE(set)) schedule(); return 0; }
module_init(start);
MODULE_LICENSE("GPL");
`;

test("without set_current_state(), schedule() and schedule_timeout() only let others run", async () => {
	const yields = await compileModule("yields", YIELDS.replace("!READ_ONCE(set)", "0"));
	expect(machine.insmodC("yields", yields)).toBe(0);
	const [first, second] = ["first", "second"].map((func) => machine.task(func, func));
	machine.it.observe({ call: (_task, _func, result) => void results.push(result) });
	const { jiffies } = machine.it.sched;
	machine.until(() => results.length >= 2);
	expect(results.slice(0, 2)).toEqual([9n, 10n]);
	expect([first!.__state, second!.__state]).toEqual([0, 0]);
	// Nobody has waited for the timeout.
	expect(machine.it.sched.jiffies - jiffies).toBeLessThan(100);
});

test("a module's init that only calls schedule() lets the task run that it waits for", async () => {
	expect(machine.insmodC("yields", await compileModule("yields", YIELDS.replace("!READ_ONCE(set)", "0")))).toBe(0);
	machine.task("setter", "sets");
	const again = YIELDS.replace("int set;", "extern int set;").replace(/^long .*$/gm, "");
	expect(machine.insmodC("waits2", await compileModule("waits2", again))).toBe(0);
});
