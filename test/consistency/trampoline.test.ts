/** A task that loses its CPU on a trampoline, with an implementation chosen and on no stack: `run` must see it too. */
import { expect, test } from "vitest";
import { InvariantChecker } from "../../src/consistency/index.js";
import type { Preemption } from "../../src/linux/sched/index.js";
import { createTestMachine } from "../support/machine.js";
import { LONG } from "../support/sample.js";

const SEEDS = Array.from({ length: LONG ? 60 : 20 }, (_, i) => i + 1);

/** Four tasks that call funcA, lp1 and then lp2: what is told. */
async function told(seed: number, preemption: Preemption): Promise<string[]> {
	const machine = await createTestMachine({ cpus: 2, seed, preemption });
	const watched = [{ name: "funcA", resolve: () => machine.it.kallsyms.lookup(undefined, "funcA")[0] }];
	const messages: string[] = [];
	const checker = new InvariantChecker(machine.it, watched, ({ message }) => messages.push(message));
	for (const name of ["a", "b", "c", "d"]) machine.task(name, "funcA");
	checker.check("start");
	machine.rounds(20);
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.settle();
	machine.rounds(20);
	machine.patch("lp2", ["funcA", "lp2_funcA"]);
	machine.settle();
	machine.close();
	return messages;
}

test("preemption full: klp_try_switch_task() switches such a task in some runs, and each is told", async () => {
	const messages = (await Promise.all(SEEDS.map((seed) => told(seed, "full")))).flat();
	expect(messages.length).toBeGreaterThan(0);
	for (const message of messages) {
		expect(message).toMatch(
			/^[abcd] switches at "klp_try_switch_task: patch_state" from lp1_funcA to lp2_funcA for funcA, while lp1_funcA is what its trampoline is about to jump to$/,
		);
	}
});

test("preemption none: a task is never taken off its CPU there", async () => {
	expect((await Promise.all(SEEDS.map((seed) => told(seed, "none")))).flat()).toEqual([]);
});
