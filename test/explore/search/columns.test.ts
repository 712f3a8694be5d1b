/** What the search asks of a task's state, bit by bit. */
import { expect, test } from "vitest";
import { TASK, taskBits } from "../../../src/explore/search/columns.js";
import { TASK_DEAD, TASK_INTERRUPTIBLE, TASK_RUNNING, TASK_UNINTERRUPTIBLE } from "../../../src/linux/sched/index.js";

const runs = { mode: "user", __state: TASK_RUNNING, held: false, wakeAt: Number.POSITIVE_INFINITY, trace_recursion: 0 };
const idle = { ...runs, preempt_count: 0, exiting: false, thread_flags: 0 };

/** The names of the bits that are set. */
function bits(fields: object, { alive = true, running = false, nonpreemptible = true } = {}): string[] {
	const state = { alive, running, fields: { ...idle, ...fields } } as unknown as Parameters<typeof taskBits>[0];
	const found = taskBits(state, nonpreemptible);
	return Object.entries(TASK).flatMap(([name, bit]) => (found & bit ? [name] : []));
}

test("a task in user mode may run", () => {
	expect(bits({})).toEqual(["canMove", "mayRun", "inUserMode"]);
	expect(bits({}, { alive: false })).toEqual([]);
	expect(bits({ exiting: true })).toEqual(["canMove", "mayRun"]);
});

test("a task that sleeps without a limit of time cannot move: it is asleep, unless it has died", () => {
	const asleep = { mode: "kernel", __state: TASK_UNINTERRUPTIBLE };
	expect(bits(asleep)).toEqual(["asleep"]);
	expect(bits({ ...asleep, wakeAt: 5 })).toEqual(["canMove"]);
	expect(bits({ ...asleep, __state: TASK_INTERRUPTIBLE })).toEqual(["asleep", "interruptible"]);
	expect(bits({ ...asleep, __state: TASK_DEAD })).toEqual([]);
	expect(bits({ ...asleep, mode: "host" })).toEqual([]);
	expect(bits({ held: true })).toEqual(["asleep"]);
});

test("a task in a handler, with preemption disabled, or running where it keeps its CPU, is in the kernel", () => {
	const kernel = { mode: "kernel" };
	expect(bits({ ...kernel, trace_recursion: 1 })).toContain("inKernel");
	expect(bits({ ...kernel, preempt_count: 1 })).toContain("inKernel");
	expect(bits(kernel, { running: true })).toContain("inKernel");
	expect(bits(kernel, { running: true, nonpreemptible: false })).not.toContain("inKernel");
	expect(bits(kernel)).not.toContain("inKernel");
});
