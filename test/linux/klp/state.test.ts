/** klp_get_prev_state(): the state that an earlier livepatch has set up, as callbacks ask for it. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { klp_get_prev_state, type klp_patch } from "../../../src/linux/klp/index.js";
import { createTestMachine, type Source, type TestMachine } from "../../support/machine.js";

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine();
});
afterEach(() => machine.close());

const FUNCTIONS = { lp1: "funcA", lp2: "funcB", lp3: "funcB", lp4: "funcA" };

/** Loads a livepatch with the versions of some states. The result: what its pre_patch callback gets for each of `asked`. */
function previous(name: Source, states: Record<number, number>, asked: readonly bigint[] = []) {
	let found: unknown[] = [];
	const old = FUNCTIONS[name];
	const spec = {
		objects: { vmlinux: [{ old, by: `${name}_${old}` }] },
		states: Object.entries(states).map(([id, version]) => ({ id: BigInt(id), version })) as klp_patch["states"],
		callbacks: {
			pre_patch: () => {
				found = asked.map((id) => klp_get_prev_state(machine.klp, id)?.version);
				return 0;
			},
		},
	};
	expect(machine.insmod(name, spec)).toBe(0);
	machine.settle();
	return found;
}

test("[rule 5.6] the newest earlier patch that has the state, not that in transition", () => {
	expect(previous("lp1", { 7: 1, 8: 1 }, [7n])).toEqual([undefined]);
	expect(previous("lp2", { 7: 2 }, [7n, 8n])).toEqual([1, 1]);
	expect(previous("lp3", { 7: 3, 9: 1 }, [7n, 8n, 9n])).toEqual([2, 1, undefined]);
	expect(machine.it.dmesg.warnings).toEqual([]);
});

test("[rule 5.6] outside of a transition there is none, with a WARN", () => {
	previous("lp1", { 7: 1 });
	expect(klp_get_prev_state(machine.klp, 7n)).toBeUndefined();
	expect(machine.it.dmesg.warnings).toEqual(["klp_get_prev_state: !klp_transition_patch"]);
});
