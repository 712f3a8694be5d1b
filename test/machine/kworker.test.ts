/** The kworker loses its CPU in the middle of the transition's work, as other kernel code does. */
import { expect, test } from "vitest";
import type { Preemption } from "../../src/linux/sched/index.js";
import { createTestMachine } from "../support/machine.js";

/** Rounds in which the work stood still, over some seeds; and what the administrator gets who reverses the patch meanwhile. */
async function stopped(preemption: Preemption) {
	let rounds = 0;
	const reversed: number[] = [];
	for (let seed = 1; seed <= 20; seed++) {
		const machine = await createTestMachine({ cpu: "jit", preemption, seed });
		try {
			machine.task("worker", "funcC", "funcA");
			machine.task("other", "funcD");
			machine.rounds(5);
			machine.patch("lp1", ["funcA", "lp1_funcA"]);
			const { sched } = machine.it;
			for (let i = 0; i < 200 && (machine.klp.inTransition !== undefined || machine.it.busy); i++) {
				const before = sched.instructions;
				machine.it.round();
				if (!machine.it.busy) continue;
				rounds++;
				expect(sched.instructions).toBeGreaterThan(before);
				if (reversed.length < seed && machine.cat("lp1/enabled") === "1")
					reversed.push(machine.echo("0", "lp1/enabled"));
			}
			machine.settle();
			expect([machine.it.busy, machine.it.dmesg.warnings]).toEqual([false, []]);
		} finally {
			machine.close();
		}
	}
	return { rounds, reversed };
}

test("preemption full: other tasks run while the work stands still; who needs its mutex waits for it", async () => {
	const { rounds, reversed } = await stopped("full");
	expect(rounds).toBeGreaterThan(0);
	expect(reversed).toEqual(reversed.map(() => 0));
});

test("preemption none: a work that does not call cond_resched() runs in one go", async () => {
	expect((await stopped("none")).rounds).toBe(0);
});
