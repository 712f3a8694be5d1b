import { expect, test } from "vitest";
import { AccessPlan, type OpenGroups, type Where } from "../../../../src/cpu/jit/tier2/index.js";

const NONE: OpenGroups = new Map();
const [READ, WRITE] = [1, 2];

function at(values: string, offset: number, absolute?: bigint): Where {
	return { registers: "7 -1 1", values, offset, absolute, early: undefined };
}

test("accesses at known distances are one group, which needs what all of them need", () => {
	const plan = new AccessPlan();
	let open = plan.add(NONE, at("a", 16), 8, READ, false);
	open = plan.add(open, at("b", 16), 8, READ, false);
	plan.add(open, at("a", 0), 4, WRITE, false);
	const [first, other, last] = [plan.take(), plan.take(), plan.take()];
	expect(last).toBe(first);
	expect(first).toMatchObject({ low: 0, high: 24, need: READ | WRITE });
	expect(other).toMatchObject({ low: 16, high: 24, need: READ });
	expect([...plan.groups()]).toEqual([first, other]);
	expect(() => plan.take()).toThrow("not planned");
});

test("accesses that are far apart, or constants in different pages, are two groups", () => {
	const plan = new AccessPlan();
	const open = plan.add(NONE, at("a", 0), 8, READ, false);
	plan.add(open, at("a", 1020), 8, READ, false);
	const constants = plan.add(NONE, at("c", 0xff8, 0xffffffff81000ff8n), 8, READ, false);
	plan.add(constants, at("c", 0x1000, 0xffffffff81001000n), 8, READ, false);
	expect(plan.groups().size).toBe(4);
});

test("a group that one way opens is not open on another way", () => {
	const plan = new AccessPlan();
	const open = plan.add(NONE, at("a", 0), 8, READ, false);
	plan.add(open, at("b", 0), 8, READ, false);
	plan.add(open, at("b", 8), 8, READ, false);
	expect(plan.groups().size).toBe(3);
});
