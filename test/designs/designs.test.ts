/** What distinguishes the designs, on the running machine: who is replaced, what tasks see meanwhile, what sysfs allows. */
import { afterEach, describe, expect, test } from "vitest";
import { InvariantChecker, type Violation } from "../../src/consistency/index.js";
import { createTestMachine, meaning, type PatchSpec, type Source, type TestMachine } from "../support/machine.js";

const [EAGAIN, EACCES, EINVAL] = [-11, -13, -22];

let machine: TestMachine;
let violations: Violation[];
afterEach(() => machine.close());

async function start(design: string): Promise<void> {
	machine = await createTestMachine({ design });
	violations = [];
	const watched = ["funcA", "funcB"].map((name) => ({
		name,
		resolve: () => machine.it.kallsyms.lookup(undefined, name)[0],
	}));
	new InvariantChecker(machine.it, watched, (violation) => violations.push(violation)).check("start");
}

function load(source: Source, funcs: readonly string[], fields: Partial<PatchSpec> = {}): number {
	const vmlinux = funcs.map((old) => ({ old, by: `${source}_${old}` }));
	return machine.insmod(source, { objects: { vmlinux }, ...fields });
}

/** The implementations that a task in each state would run. */
function views(...states: number[]): string[][] {
	return states.map((state) =>
		["funcA", "funcB"].map((name) => machine.klp.wouldRun(machine.addr(name), state)?.new_name ?? "original"),
	);
}
const stacks = () => ["funcA", "funcB"].map((name) => machine.func_stack(name));
const enabled = () => machine.klp.klp_patches.filter((patch) => patch.enabled).map(({ name }) => name);

test.each([
	[true, ["vmlinux", "absent"]],
	[false, ["vmlinux"]],
])("rfc-2025: an object without functions, of a patch with replaceable %s", async (replaceable, expected) => {
	await start("rfc-2025");
	const objects = { vmlinux: [{ old: "funcA", by: "lp1_funcA" }], absent: [] };
	expect(machine.insmod("lp1", { objects, replaceable })).toBe(0);
	machine.settle();
	// Its transition stays open: at the end, such objects go.
	machine.sleeper("s", "funcB");
	expect(load("lp2", ["funcB"], { replace: true })).toBe(0);
	// klp_add_object_nops() makes the object although it has no function to add.
	expect(machine.patchOf("lp2").obj_list.map(({ label }) => label)).toEqual(expected);
});

test("universe: after a force, a task holds up what removes the code that it is in, and does not see any more", async () => {
	await start("universe");
	load("lp1", ["funcA"]);
	machine.settle();
	const sleeper = machine.sleeper("s", "funcA", "lp1_funcA");
	load("lp2", ["funcA"]);
	machine.echo("1", "lp2/force");
	machine.settle();
	expect(stacks()[0]).toEqual(["lp2_funcA", "lp1_funcA"]);
	load("lp3", ["funcB"], { replace: true });
	machine.rounds(50);
	expect([machine.klp.inTransition, sleeper.patch_state]).toEqual(["lp3", 0]);
	machine.it.tasks.wake(sleeper);
	machine.settle();
	expect([stacks(), sleeper.oops]).toEqual([[[], ["lp3_funcB"]], undefined]);
});

describe("rfc-2025: the replaceable attribute", () => {
	test("reads and writes like a boolean; other values are -EINVAL", async () => {
		await start("rfc-2025");
		load("lp1", ["funcA"]);
		machine.settle();
		const seen: unknown[] = [];
		for (const value of ["1", "0", "y", "N", "on", "off", "T", "f", "2", "", "maybe", "o"]) {
			seen.push([value, machine.echo(value, "lp1/replaceable"), machine.cat("lp1/replaceable")]);
		}
		expect(seen).toEqual([
			["1", 0, "1"],
			["0", 0, "0"],
			["y", 0, "1"],
			["N", 0, "0"],
			["on", 0, "1"],
			["off", 0, "0"],
			["T", 0, "1"],
			["f", 0, "0"],
			["2", EINVAL, "0"],
			["", EINVAL, "0"],
			["maybe", EINVAL, "0"],
			["o", EINVAL, "0"],
		]);
	});
	test("-EAGAIN for the patch in transition, but its present value is fine; others may change", async () => {
		await start("rfc-2025");
		load("lp1", ["funcA"], { replaceable: true });
		machine.settle();
		machine.sleeper("s", "funcB");
		load("lp3", ["funcB"]);
		expect([machine.echo("1", "lp3/replaceable"), machine.cat("lp3/replaceable")]).toEqual([EAGAIN, "0"]);
		expect(machine.echo("0", "lp3/replaceable")).toBe(0);
		expect(machine.echo("junk", "lp3/replaceable")).toBe(EINVAL);
		expect([machine.echo("0", "lp1/replaceable"), machine.cat("lp1/replaceable")]).toEqual([0, "0"]);
	});
	test("decides whether a cumulative patch replaces this one", async () => {
		await start("rfc-2025");
		load("lp1", ["funcA"]);
		machine.settle();
		load("lp3", ["funcB"], { replace: true });
		machine.settle();
		expect([enabled(), stacks()]).toEqual([
			["lp1", "lp3"],
			[["lp1_funcA"], ["lp3_funcB"]],
		]);
		machine.echo("1", "lp1/replaceable");
		load("lp2", ["funcB"], { replace: true });
		machine.settle();
		expect([enabled(), stacks()]).toEqual([
			["lp3", "lp2"],
			[[], ["lp2_funcB", "lp3_funcB"]],
		]);
	});
});

describe("universe", () => {
	/** lp1 stays; lp2 on top of it is replaced by lp3: funcA goes back to lp1 while funcB goes on to lp3. */
	async function forwardAndBack(): Promise<void> {
		await start("universe");
		load("lp1", ["funcA"], { replaceable: false });
		machine.settle();
		load("lp2", ["funcA", "funcB"]);
		machine.settle();
	}

	test("one function forward, another backward, in the same transition, without nops", async () => {
		await forwardAndBack();
		const sleeper = machine.sleeper("s", "funcA", "lp2_funcA");
		const task = machine.task("t", "untraced");
		expect(load("lp3", ["funcB"], { replace: true })).toBe(0);
		machine.rounds(5);
		expect(stacks()).toEqual([
			["lp2_funcA", "lp1_funcA"],
			["lp3_funcB", "lp2_funcB"],
		]);
		expect(views(0, 1)).toEqual([
			["lp2_funcA", "lp2_funcB"],
			["lp1_funcA", "lp3_funcB"],
		]);
		expect([sleeper.patch_state, task.patch_state]).toEqual([0, 1]);
		expect([machine.call(task, "funcA"), machine.call(task, "funcB")]).toEqual([
			meaning.funcA(task.pid, 1100),
			meaning.funcA(task.pid, 3200),
		]);
		machine.it.tasks.wake(sleeper);
		machine.settle();
		expect([stacks(), views(-1), enabled()]).toEqual([
			[["lp1_funcA"], ["lp3_funcB"]],
			[["lp1_funcA", "lp3_funcB"]],
			["lp1", "lp3"],
		]);
		expect(violations).toEqual([]);
	});
	test("reversed, all tasks and entries are as before", async () => {
		await forwardAndBack();
		const sleeper = machine.sleeper("s", "funcA", "lp2_funcA");
		load("lp3", ["funcB"], { replace: true });
		machine.rounds(5);
		expect(machine.echo("0", "lp3/enabled")).toBe(0);
		machine.settle();
		expect([stacks(), views(-1), enabled()]).toEqual([
			[["lp2_funcA", "lp1_funcA"], ["lp2_funcB"]],
			[["lp2_funcA", "lp2_funcB"]],
			["lp1", "lp2"],
		]);
		const marked = machine.klp.klp_patches.flatMap((patch) => [...patch.funcs()]).filter((func) => func.transition);
		expect(marked).toEqual([]);
		expect(sleeper.held).toBe(true);
		expect(violations).toEqual([]);
	});
	test("a survivor above keeps its function: a replacement below it affects no task and checks no stack", async () => {
		await start("universe");
		load("lp1", ["funcA"]);
		machine.settle();
		load("lp2", ["funcA"], { replaceable: false });
		machine.settle();
		const sleeper = machine.sleeper("s", "funcA", "lp2_funcA");
		const blocker = machine.sleeper("b", "funcB");
		load("lp3", ["funcB"], { replace: true });
		expect(views(0, 1)).toEqual([
			["lp2_funcA", "original"],
			["lp2_funcA", "lp3_funcB"],
		]);
		expect([sleeper.patch_state, blocker.patch_state]).toEqual([1, 0]);
		machine.it.tasks.wake(blocker);
		machine.settle();
		expect([sleeper.held, stacks(), enabled()]).toEqual([true, [["lp2_funcA"], ["lp3_funcB"]], ["lp2", "lp3"]]);
		expect(violations).toEqual([]);
	});
	test("disabling the middle of a stack changes no task", async () => {
		await forwardAndBack();
		load("lp4", ["funcA"]);
		machine.settle();
		const sleeper = machine.sleeper("s", "funcA", "lp4_funcA");
		const blocker = machine.sleeper("b", "funcB", "lp2_funcB");
		machine.echo("0", "lp2/enabled");
		expect([sleeper.patch_state, blocker.patch_state]).toEqual([0, 1]);
		expect(views(0, 1)).toEqual([
			["lp4_funcA", "original"],
			["lp4_funcA", "lp2_funcB"],
		]);
		machine.it.tasks.wake(blocker);
		machine.settle();
		expect([sleeper.held, stacks()]).toEqual([true, [["lp4_funcA", "lp1_funcA"], []]]);
		expect(violations).toEqual([]);
	});
	test("replaceable can only be read", async () => {
		await start("universe");
		load("lp1", ["funcA"], { replaceable: false });
		machine.settle();
		load("lp3", ["funcB"]);
		machine.settle();
		expect([machine.cat("lp1/replaceable"), machine.cat("lp3/replaceable")]).toEqual(["0", "1"]);
		expect(machine.echo("1", "lp1/replaceable")).toBe(EACCES);
	});
});

describe("the replaced patches: lp1 has funcA, lp2 funcB, then lp4 with funcA is enabled", () => {
	const plain = { replace: true };
	test.each([
		["mainline", {}, {}, plain, 0, ["lp4"]],
		["mainline", {}, {}, {}, 0, ["lp1", "lp2", "lp4"]],
		["rfc-2025", { replaceable: true }, {}, plain, 0, ["lp2", "lp4"]],
		["rfc-2025-no-nop", {}, { replaceable: true }, plain, 0, ["lp1", "lp4"]],
		["conflict-replace", {}, {}, {}, 0, ["lp2", "lp4"]],
		["per-func-reject", {}, {}, {}, EINVAL, ["lp1", "lp2"]],
		["replace-tag-draft", { replace: 5 }, { replace: 0 }, { replace: 7 }, 0, ["lp1", "lp4"]],
		["replace-set-v1", { replace_set: 1 }, { replace_set: 2 }, { replace_set: 2 }, 0, ["lp1", "lp4"]],
		["replace-set-v2", { replace_set: 1 }, { replace_set: 2 }, { replace_set: 2 }, EINVAL, ["lp1", "lp2"]],
		["replace-set-v2", { replace_set: 1 }, { replace_set: 2 }, { replace_set: 1 }, 0, ["lp2", "lp4"]],
		["universe", { replaceable: false }, {}, plain, 0, ["lp1", "lp4"]],
	] as const)("%s %j %j %j: %i, %j", async (design, first, second, third, errno, left) => {
		await start(design);
		expect(load("lp1", ["funcA"], first)).toBe(0);
		machine.settle();
		expect(load("lp2", ["funcB"], second)).toBe(0);
		machine.settle();
		expect(load("lp4", ["funcA"], third)).toBe(errno);
		machine.settle();
		expect(enabled()).toEqual(left);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
});
