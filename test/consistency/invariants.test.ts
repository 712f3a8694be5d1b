/** Each invariant can be broken, and is told once, at the very step that broke it. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { InvariantChecker, type Violation } from "../../src/consistency/index.js";
import { klp_func } from "../../src/linux/klp/index.js";
import { list_add, list_del_rcu } from "../../src/linux/lib/index.js";
import { createTestMachine, type TestMachine } from "../support/machine.js";

let machine: TestMachine;
let checker: InvariantChecker;
let violations: Violation[];
beforeEach(async () => {
	machine = await createTestMachine();
	violations = [];
	const watched = ["funcA", "funcB"].map((name) => ({
		name,
		resolve: () => machine.it.kallsyms.lookup(undefined, name)[0],
	}));
	checker = new InvariantChecker(machine.it, watched, (violation) => violations.push(violation));
});
afterEach(() => machine.close());

/** What was told since the last look: invariant, point, task, function, from, to. */
function told(): unknown[] {
	return violations
		.splice(0)
		.map(({ invariant, point, task, func, from, to }) => [invariant, point, task, func, from, to]);
}

const bothOfLp2 = () => machine.patch("lp2", ["funcA", "lp2_funcA"], ["funcB", "lp2_funcB"]);

test("nothing is told of a run where nothing is wrong", () => {
	machine.task("t1", "funcA", "funcB");
	const sleeper = machine.sleeper("s", "funcA");
	checker.check("start");
	bothOfLp2();
	machine.rounds(20);
	machine.it.tasks.wake(sleeper);
	machine.settle();
	machine.echo("0", "lp2/enabled");
	machine.settle();
	machine.it.shell.rmmod("lp2");
	expect(told()).toEqual([]);
});

test("sudden-change: an entry that appears under a task outside of any transition", () => {
	const task = machine.task("t", "funcA");
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.settle();
	checker.check("start");
	expect(told()).toEqual([]);
	const func = new klp_func({ old_name: "funcA", new_name: "intruder", new_func: machine.addr("weigh") });
	list_add(func.stack_node, machine.klp.patching.klp_find_ops(machine.addr("funcA"))!.func_stack);
	checker.check("by hand");
	checker.check("again");
	const about = told();
	expect(about).toHaveLength([...machine.it.sched.all()].length);
	expect(about[0]).toEqual(["sudden-change", "by hand", task.comm, "funcA", "lp1_funcA", "intruder"]);
	expect(about.every((one) => (one as unknown[])[1] === "by hand")).toBe(true);
});

test("mixed-universe: half a patch, told once for each task for as long as it lasts", () => {
	const sleeper = machine.sleeper("s", "funcA");
	checker.check("start");
	bothOfLp2();
	machine.rounds(5);
	expect(told()).toEqual([]);
	const funcB = machine.patchOf("lp2").obj_list[0]!.funcs[1]!;
	funcB.transition = false;
	checker.check("by hand");
	checker.check("again");
	expect(told()).toEqual([
		["sudden-change", "by hand", sleeper.comm, "funcB", "original", "lp2_funcB"],
		["mixed-universe", "by hand", sleeper.comm, "funcA", "original", "lp2_funcA"],
	]);
	funcB.transition = true;
	checker.check("mended");
	expect(told()).toEqual([["sudden-change", "mended", sleeper.comm, "funcB", "lp2_funcB", "original"]]);
	funcB.transition = false;
	checker.check("once more");
	expect(told()).toContainEqual(["mixed-universe", "once more", sleeper.comm, "funcA", "original", "lp2_funcA"]);
});

test("switched-on-stack: force moves a task out of a function that it is in", () => {
	const sleeper = machine.sleeper("s", "funcA");
	checker.check("start");
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	expect(told()).toEqual([]);
	machine.echo("1", "lp1/force");
	const point = "klp_update_patch_state: patch_state";
	expect(told()).toEqual([["switched-on-stack", point, sleeper.comm, "funcA", "original", "lp1_funcA"]]);
	machine.settle();
	expect(told()).toEqual([]);
});

test("switched-on-stack: a check that does not look is found out", () => {
	const sleeper = machine.sleeper("s", "funcA");
	checker.check("start");
	machine.klp.transition.klp_check_stack_func = () => false;
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.settle();
	const point = "klp_try_switch_task: patch_state";
	expect(told()).toEqual([["switched-on-stack", point, sleeper.comm, "funcA", "original", "lp1_funcA"]]);
});

test("freed-text: a module goes while a task is in it, and the task gets there", () => {
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.settle();
	const sleeper = machine.sleeper("s", "funcA", "lp1_funcA");
	checker.check("start");
	machine.echo("0", "lp1/enabled");
	machine.echo("1", "lp1/force");
	machine.settle();
	expect(told()).toEqual([
		["switched-on-stack", "klp_update_patch_state: patch_state", sleeper.comm, "funcA", "lp1_funcA", "original"],
	]);
	machine.it.modules.get("lp1")!.refcount = 0;
	machine.it.shell.rmmod("lp1");
	expect(told()).toEqual([["freed-text", "free_module(lp1)", sleeper.comm, undefined, undefined, undefined]]);
	machine.it.tasks.wake(sleeper);
	machine.until(() => sleeper.oops !== undefined);
	expect(told()).toEqual([["freed-text", "oops", sleeper.comm, undefined, undefined, undefined]]);
});

test("lost-patch: an enabled patch whose entry is gone when a transition ends", () => {
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.settle();
	const sleeper = machine.sleeper("s", "funcB");
	checker.check("start");
	machine.patch("lp3", ["funcB", "lp3_funcB"]);
	list_del_rcu(machine.patchOf("lp1").obj_list[0]!.funcs[0]!.stack_node);
	machine.it.tasks.wake(sleeper);
	machine.settle();
	const lost = told().filter((one) => (one as unknown[])[0] === "lost-patch");
	expect(lost).toEqual([["lost-patch", "klp_complete_transition: done", undefined, "funcA", "lp1_funcA", "original"]]);
});

test("warn: a WARN_ON, and a task that dies", () => {
	checker.check("start");
	machine.it.dmesg.WARN_ON(true, "f: condition");
	checker.check("here");
	checker.check("again");
	expect(told()).toEqual([["warn", "here", undefined, undefined, undefined, undefined]]);
	machine.it.memory.setU8(machine.addr("funcA"), 0xcc);
	machine.it.cpu.textChanged(machine.addr("funcA"), 1);
	const task = machine.task("t", "funcA");
	machine.until(() => task.oops !== undefined);
	expect(told()).toEqual([["warn", "oops", "t", undefined, undefined, undefined]]);
});
