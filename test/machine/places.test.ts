/** Where tasks are, in the words of messages about what does not end. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { placeOf } from "../../src/machine/index.js";
import { createTestMachine, type TestMachine } from "../support/machine.js";

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine({ cpus: 2 });
});
afterEach(() => machine.close());

const place = (task: Parameters<typeof placeOf>[1]) => placeOf(machine.it, task);

test("an idle task is never in user mode", () => {
	const [{ idle }, second] = machine.it.sched.cpus as [
		(typeof machine.it.sched.cpus)[0],
		(typeof machine.it.sched.cpus)[0],
	];
	expect(place(second.idle)).toBe("is idle, and has not gone through its loop yet");
	machine.rounds(20);
	expect(place(idle)).toBe("is idle, in its loop");
	machine.task("busy", "funcA");
	machine.until(() => machine.it.sched.cpus.some((cpu) => !cpu.curr.idle));
	const taken = machine.it.sched.cpus.find((cpu) => !cpu.curr.idle)!;
	expect(place(taken.idle)).toBe("is idle, and its CPU runs another task");
});

test("a kthread that has not run yet is not in user mode either; a new process is", () => {
	expect(place(machine.kthread("thread", "funcA"))).toBe("has not run yet");
	expect(place(machine.task("process", "funcA"))).toBe("is in user mode");
});
