/** Calls of guest code from TypeScript: a task that sleeps in one may go on elsewhere. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { GS_BASE } from "../../../src/cpu/index.js";
import { runStraight } from "../../../src/linux/lib/index.js";
import { toU64 } from "../../../src/memory/index.js";
import { CPU_NAMES } from "../../../src/node/index.js";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const SOURCE = `
#include <linux/module.h>
#include <linux/mutex.h>
static DEFINE_MUTEX(lock);
static unsigned long cpu(void) { unsigned long word; asm volatile("movq %%gs:0x800, %0" : "=r"(word)); return word; }
long take(void) { mutex_lock(&lock); return 0; }
long give(void) { mutex_unlock(&lock); return 0; }
long across(void) { unsigned long before = cpu(); mutex_lock(&lock); return 10 * before + cpu(); }
MODULE_LICENSE("GPL");
`;

describe.each(CPU_NAMES)("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, kernel: true, cpus: 2 });
		expect(machine.insmodC("sleeps", await compileModule("sleeps", SOURCE))).toBe(0);
		for (const id of [0, 1]) {
			machine.it.memory.setU64((machine.it.percpu.per_cpu_offset(id) + 0x800) | 0, BigInt(id + 1));
		}
	});
	afterEach(() => machine.close());

	test("a task that sleeps there and goes on on another CPU has that one's per-CPU area", () => {
		const { sched, calls } = machine.it;
		const { task } = machine.it.shell;
		const on = (id: number) => {
			sched.switch_to(sched.cpus[id]!, task);
			sched.current = task;
		};
		on(0);
		runStraight(calls.call(machine.addr("take")));
		const code = calls.call(machine.addr("across"));
		for (let point = code.next().value; typeof point !== "object" || point.kind !== "wait"; ) point = code.next().value;
		sched.deschedule(task);
		on(1);
		const inside = task.regs.words.slice();
		runStraight(calls.call(machine.addr("give")));
		task.regs.words.set(inside);
		expect(runStraight(code)).toBe(12n);
		// So do the registers of what has called.
		expect(task.regs.words[GS_BASE]).toBe(toU64(machine.it.percpu.per_cpu_offset(1)));
	});
});
