/** The watches of func_stacks and promises: true if what they read has changed since their last call, and only then. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { createTestMachine, type TestMachine } from "../../support/machine.js";

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine();
});
afterEach(() => machine.close());

/** Calls a watch twice: what it says first, if it says "no change" then. */
function onlyOnce(changed: () => boolean): boolean {
	const first = changed();
	expect(changed()).toBe(false);
	return first;
}

test("a func_stack: entries that come, switch and go; those of other functions do not matter", () => {
	const changed = machine.klp.watchStack(machine.addr("funcA"));
	const other = machine.klp.watchStack(machine.addr("funcB"));
	expect([onlyOnce(changed), onlyOnce(other)]).toEqual([true, true]);

	machine.sleeper("s", "funcA");
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	expect([onlyOnce(changed), onlyOnce(other)]).toEqual([true, false]);
	const [lp1] = machine.klp.klp_patches;
	machine.echo("1", "lp1/force");
	machine.settle();
	expect([...lp1!.funcs()].map((func) => func.transition)).toEqual([false]);
	expect(onlyOnce(changed)).toBe(true);

	machine.patch("lp4", ["funcA", "lp4_funcA"]);
	machine.settle();
	expect(onlyOnce(changed)).toBe(true);
	machine.echo("0", "lp4/enabled");
	machine.settle();
	expect([onlyOnce(changed), onlyOnce(other)]).toEqual([true, false]);
});

test("promises: patches that come, are enabled, disabled and removed", () => {
	const changed = machine.klp.watchPromises();
	expect(onlyOnce(changed)).toBe(true);
	machine.rounds(5);
	expect(onlyOnce(changed)).toBe(false);
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	expect(onlyOnce(changed)).toBe(true);
	machine.settle();
	onlyOnce(changed);
	machine.patch("lp2", ["funcB", "lp2_funcB"]);
	machine.settle();
	expect(onlyOnce(changed)).toBe(true);
	machine.echo("0", "lp2/enabled");
	machine.settle();
	expect(onlyOnce(changed)).toBe(true);
});
