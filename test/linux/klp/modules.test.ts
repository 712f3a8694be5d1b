/** Livepatches of modules: klp_module_coming() and klp_module_going(). The module here is lp4, loaded as an ordinary one. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { task_struct } from "../../../src/linux/sched/index.js";
import {
	createTestMachine,
	meaning,
	type PatchSpec,
	type PlainCallbacks,
	type TestMachine,
} from "../../support/machine.js";

const [EBUSY, EINVAL] = [-16, -22];
const MOD = "mod";

let machine: TestMachine;
let log: string[];
beforeEach(async () => {
	machine = await createTestMachine();
	log = [];
});
afterEach(() => machine.close());

const insmodTarget = () => machine.insmodPlain(MOD, "lp4");

function callbacks(name: string, pre_patch = 0): PlainCallbacks {
	return {
		pre_patch: (obj) => {
			log.push(`${name} pre_patch ${obj.label}`);
			return pre_patch;
		},
		post_patch: (obj) => void log.push(`${name} post_patch ${obj.label}`),
		pre_unpatch: (obj) => void log.push(`${name} pre_unpatch ${obj.label}`),
		post_unpatch: (obj) => void log.push(`${name} post_unpatch ${obj.label}`),
	};
}

/** A livepatch of the module's lp4_funcA by lp1 (1100) or lp2 (2100). */
function patchOfModule(source: "lp1" | "lp2", more: Partial<PatchSpec> = {}): number {
	const objects = { [MOD]: [{ old: "lp4_funcA", by: `${source}_funcA` }] };
	return machine.insmod(source, { objects, callbacks: callbacks(source), ...more });
}

/** The base of what a call of the module's function returns: 4100 for its own. */
function base(task: task_struct): number {
	return machine.call(task, "lp4_funcA") - meaning.funcA(task.pid, 0);
}

test("[rule 1.12] a missing module: the patch completes without it, and its object is not patched", () => {
	expect(patchOfModule("lp1")).toBe(0);
	machine.settle();
	expect([machine.cat("lp1/enabled"), machine.cat("lp1/mod/patched"), machine.cat("lp1/vmlinux/patched")]).toEqual([
		"1",
		"0",
		-2,
	]);
	expect(log).toEqual([]);
});

test("[rule 5.2] [rule 5.5] a module that comes is patched before its init; one that goes is unpatched", () => {
	patchOfModule("lp1");
	machine.settle();
	expect(insmodTarget()).toBe(0);
	expect(machine.dmesg("lp1' to")).toEqual(["livepatch: applying patch 'lp1' to loading module 'mod'"]);
	expect(log).toEqual(["lp1 pre_patch mod", "lp1 post_patch mod"]);
	expect(machine.cat("lp1/mod/patched")).toBe("1");
	const task = machine.task("t", "untraced");
	expect(base(task)).toBe(1100);
	log.length = 0;
	expect(machine.it.shell.rmmod(MOD)).toBe(0);
	expect(machine.dmesg("reverting")).toEqual(["livepatch: reverting patch 'lp1' on unloading module 'mod'"]);
	expect(log).toEqual(["lp1 pre_unpatch mod", "lp1 post_unpatch mod"]);
	expect([machine.cat("lp1/mod/patched"), machine.klp.patching.klp_ops.size]).toEqual(["0", 0]);
	// And again, at another address.
	expect(insmodTarget()).toBe(0);
	expect(base(task)).toBe(1100);
	machine.echo("0", "lp1/enabled");
	machine.settle();
	expect(base(task)).toBe(4100);
});

test("a module that is there is patched like vmlinux", () => {
	insmodTarget();
	const task = machine.task("t", "untraced");
	expect(base(task)).toBe(4100);
	patchOfModule("lp1");
	machine.settle();
	expect(base(task)).toBe(1100);
	expect(log).toEqual(["lp1 pre_patch mod", "lp1 post_patch mod"]);
});

test("[rule 5.2] all patches apply, in the order they were enabled: the last one is on top", () => {
	patchOfModule("lp1");
	machine.settle();
	patchOfModule("lp2");
	machine.settle();
	insmodTarget();
	expect(machine.func_stack("lp4_funcA")).toEqual(["lp2_funcA", "lp1_funcA"]);
	expect(log).toEqual(["lp1 pre_patch mod", "lp1 post_patch mod", "lp2 pre_patch mod", "lp2 post_patch mod"]);
});

test("[rule 5.4] in the middle of a transition: no post_patch yet, and each task sees its own side", () => {
	const sleeper = machine.sleeper("s", "funcA");
	const other = machine.task("o", "untraced");
	machine.insmod("lp1", {
		objects: {
			vmlinux: [{ old: "funcA", by: "lp1_funcA" }],
			[MOD]: [{ old: "lp4_funcA", by: "lp1_funcA" }],
		},
		callbacks: callbacks("lp1"),
	});
	machine.rounds(5);
	log.length = 0;
	expect(insmodTarget()).toBe(0);
	expect(log).toEqual(["lp1 pre_patch mod"]);
	const func = machine.patchOf("lp1").obj_list[1]!.funcs[0]!;
	expect([func.transition, func.patched]).toEqual([true, true]);
	const ops = machine.klp.patching.klp_find_ops(machine.addr("lp4_funcA"))!;
	const sees = (task: task_struct) => machine.klp.select(ops, task.patch_state)?.new_name;
	expect([sees(sleeper), sees(other)]).toEqual([undefined, "lp1_funcA"]);
	expect(base(other)).toBe(1100);
	machine.it.tasks.wake(sleeper);
	machine.settle();
	expect(log).toEqual(["lp1 pre_patch mod", "lp1 post_patch vmlinux", "lp1 post_patch mod"]);
});

test("[rule 5.5] a module that goes in the middle of a transition: no pre_unpatch, as no post_patch was", () => {
	insmodTarget();
	const sleeper = machine.sleeper("s", "funcA");
	machine.insmod("lp1", {
		objects: {
			vmlinux: [{ old: "funcA", by: "lp1_funcA" }],
			[MOD]: [{ old: "lp4_funcA", by: "lp1_funcA" }],
		},
		callbacks: callbacks("lp1"),
	});
	log.length = 0;
	expect(machine.it.shell.rmmod(MOD)).toBe(0);
	expect(log).toEqual(["lp1 post_unpatch mod"]);
	machine.it.tasks.wake(sleeper);
	machine.settle();
	expect(log).toEqual(["lp1 post_unpatch mod", "lp1 post_patch vmlinux"]);
});

describe("in a transition of another kind", () => {
	/** lp1 patches funcA of vmlinux, where a sleeper holds its transition up, and the module's function. */
	const both = (more: Partial<PatchSpec> = {}) =>
		machine.insmod("lp1", {
			objects: {
				vmlinux: [{ old: "funcA", by: "lp1_funcA" }],
				[MOD]: [{ old: "lp4_funcA", by: "lp1_funcA" }],
			},
			callbacks: callbacks("lp1"),
			...more,
		});
	/** lp1 is being disabled, and a task asleep in lp1_funcA holds that up; another has switched back already. */
	function unpatching(): { sleeper: task_struct; other: task_struct } {
		both();
		machine.settle();
		const sleeper = machine.sleeper("s", "funcA", "lp1_funcA");
		const other = machine.task("o", "untraced");
		expect(machine.echo("0", "lp1/enabled")).toBe(0);
		machine.until(() => other.patch_state === 0);
		expect([sleeper.patch_state, machine.cat("lp1/transition")]).toEqual([1, "1"]);
		log.length = 0;
		return { sleeper, other };
	}

	test("[rule 5.4] coming while the patch is being disabled: patched, for tasks that have not switched back", () => {
		const { sleeper, other } = unpatching();
		expect(insmodTarget()).toBe(0);
		expect([log, machine.func_stack("lp4_funcA"), machine.cat("lp1/mod/patched")]).toEqual([
			["lp1 pre_patch mod"],
			["lp1_funcA"],
			"1",
		]);
		expect(base(other)).toBe(4100);
		machine.it.tasks.wake(sleeper);
		machine.settle();
		expect(log).toEqual(["lp1 pre_patch mod", "lp1 post_unpatch vmlinux", "lp1 post_unpatch mod"]);
		expect([machine.func_stack("lp4_funcA"), machine.it.shell.rmmod(MOD), machine.it.shell.rmmod("lp1")]).toEqual([
			[],
			0,
			0,
		]);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
	test("[rule 5.5] going while the patch is being disabled: unpatched at once, after pre_unpatch", () => {
		insmodTarget();
		const { sleeper } = unpatching();
		expect(machine.it.shell.rmmod(MOD)).toBe(0);
		expect([log, machine.cat("lp1/mod/patched")]).toEqual([["lp1 post_unpatch mod"], "0"]);
		machine.it.tasks.wake(sleeper);
		machine.settle();
		expect(log).toEqual(["lp1 post_unpatch mod", "lp1 post_unpatch vmlinux"]);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
	test("[rule 5.4] coming after a reversal: the patch that is on its way out still applies", () => {
		const sleeper = machine.sleeper("s", "funcA");
		const inside = machine.it.tasks.add({
			name: "i",
			kthread: false,
			calls: [machine.addr("funcA")],
			sleepAt: () => (machine.it.modules.has("lp1") ? [(machine.site("lp1_funcA") + 5) | 0] : []),
		});
		both();
		machine.until(() => inside.held);
		expect(machine.echo("0", "lp1/enabled")).toBe(0);
		machine.rounds(5);
		log.length = 0;
		expect(insmodTarget()).toBe(0);
		expect([log, machine.func_stack("lp4_funcA"), machine.cat("lp1/enabled")]).toEqual([
			["lp1 pre_patch mod"],
			["lp1_funcA"],
			"0",
		]);
		for (const task of [sleeper, inside]) machine.it.tasks.wake(task);
		machine.settle();
		expect([machine.func_stack("lp4_funcA"), machine.cat("lp1/enabled")]).toEqual([[], -2]);
		expect(base(machine.task("t", "untraced"))).toBe(4100);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
	test("[rule 5.4] [rule 5.8] coming while another patch replaces it: both apply; the old entry is removed", () => {
		both();
		machine.settle();
		const sleeper = machine.sleeper("s", "funcA", "lp1_funcA");
		machine.insmod("lp2", { objects: { vmlinux: [{ old: "funcA", by: "lp2_funcA" }] }, replace: true });
		expect(insmodTarget()).toBe(0);
		expect(machine.func_stack("lp4_funcA")).toEqual(["nop", "lp1_funcA"]);
		const other = machine.task("o", "untraced");
		machine.until(() => !other.pending && other.patch_state === 1);
		expect(base(other)).toBe(4100);
		machine.it.tasks.wake(sleeper);
		machine.settle();
		expect([machine.func_stack("lp4_funcA"), base(other)]).toEqual([[], 4100]);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
	test("[rule 3.15] [rule 5.5] going after force, before the next try completes", () => {
		insmodTarget();
		machine.sleeper("s", "funcA");
		both();
		expect(machine.echo("1", "lp1/force")).toBe(0);
		expect([machine.cat("lp1/transition"), machine.it.shell.rmmod(MOD)]).toEqual(["1", 0]);
		machine.settle();
		expect([machine.cat("lp1/mod/patched"), machine.cat("lp1/transition")]).toEqual(["0", "0"]);
		expect(insmodTarget()).toBe(0);
		expect(base(machine.task("t", "untraced"))).toBe(1100);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
});

describe("a module that cannot be patched is refused", () => {
	test("[rule 5.3] for a missing function: -EINVAL; earlier patches are reverted, later ones not tried", () => {
		patchOfModule("lp1");
		machine.settle();
		patchOfModule("lp2", { objects: { [MOD]: [{ old: "nowhere", by: "lp2_funcA" }] } });
		machine.settle();
		expect(insmodTarget()).toBe(EINVAL);
		expect(log).toEqual([
			...["lp1 pre_patch mod", "lp1 post_patch mod"],
			...["lp1 pre_unpatch mod", "lp1 post_unpatch mod"],
		]);
		expect(machine.dmesg("mod'")).toEqual([
			"livepatch: applying patch 'lp1' to loading module 'mod'",
			"livepatch: failed to initialize patch 'lp2' for module 'mod' (-22)",
			"livepatch: patch 'lp2' failed for module 'mod', refusing to load module 'mod'",
			"livepatch: reverting patch 'lp1' on unloading module 'mod'",
		]);
		expect([machine.it.modules.has(MOD), machine.cat("lp1/mod/patched"), machine.cat("lp2/mod/patched")]).toEqual([
			false,
			"0",
			"0",
		]);
	});
	test("[rule 5.3] by pre_patch: its errno", () => {
		patchOfModule("lp1", { callbacks: callbacks("lp1", EBUSY) });
		machine.settle();
		expect(insmodTarget()).toBe(EBUSY);
		expect(log).toEqual(["lp1 pre_patch mod"]);
		expect(machine.dmesg("pre-patch")).toEqual(["livepatch: pre-patch callback failed for object 'mod'"]);
	});
	test("[rule 5.3] by ftrace: post_unpatch cleans up", () => {
		patchOfModule("lp1");
		machine.settle();
		const { ftrace } = machine;
		const location = ftrace.ftrace_location.bind(ftrace);
		ftrace.ftrace_location = () => 0;
		expect(insmodTarget()).toBe(EINVAL);
		ftrace.ftrace_location = location;
		expect(log).toEqual(["lp1 pre_patch mod", "lp1 post_unpatch mod"]);
		expect(machine.dmesg("failed to apply")).toEqual(["livepatch: failed to apply patch 'lp1' to module 'mod' (-22)"]);
		expect(insmodTarget()).toBe(0);
	});
	test("[rule 5.1] called vmlinux: -EINVAL", () => {
		expect(machine.insmodPlain("vmlinux", "lp4")).toBe(EINVAL);
		expect(machine.dmesg()).toEqual(["livepatch: vmlinux.ko: invalid module name"]);
		expect(machine.it.modules.size).toBe(0);
	});
});

test("[rule 5.8] replace: functions of a module that is not there get nops too", () => {
	patchOfModule("lp1");
	machine.settle();
	const sleeper = machine.sleeper("s", "funcB");
	machine.insmod("lp2", { objects: { vmlinux: [{ old: "funcB", by: "lp2_funcB" }] }, replace: true });
	const [, dynamic] = machine.patchOf("lp2").obj_list;
	expect([dynamic?.label, dynamic?.dynamic, dynamic?.funcs.map(({ nop }) => nop)]).toEqual([MOD, true, [true]]);
	machine.it.tasks.wake(sleeper);
	machine.settle();
	expect(machine.patchOf("lp2").obj_list.map(({ label }) => label)).toEqual(["vmlinux"]);
	expect(insmodTarget()).toBe(0);
	expect(base(machine.task("t", "untraced"))).toBe(4100);
	expect(machine.it.dmesg.warnings).toEqual([]);
});

test("[rule 1.16] replace: an object without functions gets its counterpart", () => {
	machine.insmod("lp1", { objects: { vmlinux: [{ old: "funcA", by: "lp1_funcA" }], [MOD]: [] } });
	machine.settle();
	const sleeper = machine.sleeper("s", "funcB");
	machine.insmod("lp2", { objects: { vmlinux: [{ old: "funcB", by: "lp2_funcB" }] }, replace: true });
	const [, dynamic] = machine.patchOf("lp2").obj_list;
	expect([dynamic?.label, dynamic?.dynamic, dynamic?.funcs.length]).toEqual([MOD, true, 0]);
	machine.it.tasks.wake(sleeper);
	machine.settle();
	expect(machine.patchOf("lp2").obj_list.map(({ label }) => label)).toEqual(["vmlinux"]);
});
