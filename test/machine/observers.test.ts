/** Those who watch a machine, and what a machine puts back when one of them throws. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Kernel } from "../../src/linux/lib/index.js";
import { createTestMachine, type TestMachine } from "../support/machine.js";

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine({ cpu: "jit" });
});
afterEach(() => machine.close());

class Stop extends Error {}
function stop(): never {
	throw new Stop();
}

test("several observers are told, in the order they came, until they unsubscribe", () => {
	const told: string[] = [];
	const first = machine.it.observe({ point: (label) => told.push(`1 ${label}`) });
	machine.it.observe({ point: (label) => told.push(`2 ${label}`) });
	machine.task("t1");
	first();
	machine.task("t2");
	expect(told).toEqual(["1 klp_copy_process", "2 klp_copy_process", "2 klp_copy_process"]);
});

test("an observer is told of patches, transitions, calls, instructions and oopses", () => {
	const told = new Set<string>();
	const unsubscribe = machine.it.observe({
		enable: (patch) => told.add(`enable ${patch.name}`),
		transition: (what, patch, target) => told.add(`${what} ${patch.name} ${target}`),
		call: (task) => told.add(`call ${task.comm}`),
		instruction: (rip) => told.add(typeof rip),
		oops: (task) => told.add(`oops ${task.comm}`),
	});
	const dies = machine.task("dies");
	dies.program = { calls: [0x1234] };
	machine.task("t", "funcA");
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.settle();
	machine.rounds(20);
	expect([...told].sort()).toEqual(["bigint", "call t", "enable lp1", "init lp1 1", "oops dies"]);
	unsubscribe();
	expect(machine.it.cpu.onInstruction).toBeUndefined();
});

test("callOnce() puts the task's program back, and watches no longer, when a round throws", () => {
	const task = machine.task("t", "funcB");
	machine.rounds(5);
	const { program } = task;
	const funcA = machine.addr("funcA");
	const unsubscribe = machine.it.observe({ call: (_task, func) => (func === funcA ? stop() : undefined) });
	expect(() => machine.call(task, "funcA")).toThrow(Stop);
	expect(task.program).toBe(program);
	unsubscribe();
	expect([...machine.it.observers]).toEqual([]);
});

test("the kworker takes the next work although the one before it has thrown", () => {
	const { workqueue } = machine.it;
	const work = (name: string) => ({
		name,
		*func(): Kernel<void> {
			yield name;
		},
	});
	workqueue.schedule_work(work("throws"));
	const unsubscribe = machine.it.observe({ point: stop });
	expect(() => machine.rounds(1)).toThrow(Stop);
	unsubscribe();
	workqueue.schedule_work(work("next"));
	const told: string[] = [];
	machine.it.observe({ point: (label) => told.push(label) });
	machine.rounds(1);
	expect(told).toEqual(["next"]);
});

test("kernel code of the shell that throws leaves the shell asleep, off its CPU, and the machine idle", () => {
	const { shell, sched } = machine.it;
	const { mode } = shell.task;
	function* code(): Kernel<void> {
		yield "before";
		throw new Stop();
	}
	expect(() => shell.run(code())).toThrow(Stop);
	expect([shell.task.__state, shell.task.on_cpu, shell.task.mode]).toEqual([1, -1, mode]);
	expect(sched.cpus[0]!.curr).toBe(sched.cpus[0]!.idle);
	expect(machine.it.busy).toBe(false);
	expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(0);
});
