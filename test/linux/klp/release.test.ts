/** What differs between kernel releases: each flag of a Release, on and off. */
import { afterEach, describe, expect, test } from "vitest";
import { LINUX_6_12, type Release } from "../../../src/linux/klp/index.js";
import { createTestMachine, type TestMachine } from "../../support/machine.js";

const [ENOENT, EEXIST] = [-2, -17];

let machine: TestMachine;
afterEach(() => machine.close());
const boot = async (changes: Partial<Release>) => {
	machine = await createTestMachine({ release: { ...LINUX_6_12, ...changes } });
};
/** lp1 and then lp2, which replaces it, name the same function: by position 0, and by position 1. */
const replaceByPosition = (): number => {
	machine.insmod("lp1", { objects: { vmlinux: [{ old: "funcA", by: "lp1_funcA", sympos: 0 }] } });
	machine.settle();
	const objects = { vmlinux: [{ old: "funcA", by: "lp2_funcA", sympos: 1 }] };
	return machine.insmod("lp2", { objects, replace: true });
};

describe("stack_order", () => {
	test("since 6.14 each patch has it", async () => {
		await boot({});
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		expect(machine.it.shell.read("/sys/kernel/livepatch/lp1/stack_order")).toBe("1\n");
	});

	test("before, there is no such file", async () => {
		await boot({ hasStackOrder: false });
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		expect(machine.it.shell.read("/sys/kernel/livepatch/lp1/stack_order")).toBe(ENOENT);
		expect(machine.it.files.rights("/sys/kernel/livepatch/lp1/stack_order")).toBeUndefined();
	});
});

describe("old_sympos 0 and 1", () => {
	test("since 6.19 they are the same function: no nop", async () => {
		await boot({});
		expect(replaceByPosition()).toBe(0);
		expect(machine.func_stack("funcA")).toEqual(["lp2_funcA"]);
	});

	test("before, klp_add_nops() adds a nop of the same name: -EEXIST", async () => {
		await boot({ symposZeroIsOne: false });
		expect(replaceByPosition()).toBe(EEXIST);
		expect(machine.func_stack("funcA")).toEqual(["lp1_funcA"]);
	});
});

describe("cond_resched()", () => {
	test.each([
		["until 6.15 it is", true],
		["since 6.16 it is not", false],
	])("%s a switch point while a transition runs", async (_when, condReschedSwitches) => {
		await boot({ condReschedSwitches });
		machine.sleeper("sleeper", "funcA");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		expect(machine.it.klp.inTransition).toBe("lp1");
		expect(machine.it.klp.klp_sched_try_switch_key).toBe(condReschedSwitches);
	});
});
