/** klp_enable_patch(): which check comes first, with which errno and which words, and that nothing is left behind. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { klp_func, klp_object, klp_patch, type module } from "../../../src/linux/klp/index.js";
import { createTestMachine, meaning, type PatchSpec, type TestMachine } from "../../support/machine.js";

const [ENOENT, EBUSY, EINVAL] = [-2, -16, -22];

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine({ twin: true });
});
afterEach(() => machine.close());

/** What would tell that a patch has been there. */
function traces() {
	const { it, klp, ftrace } = machine;
	return {
		text: machine.text(),
		patches: klp.klp_patches.map(({ name }) => name),
		sysfs: [...it.klp.sysfs.entries()].map(([path]) => path),
		modules: [...it.modules.keys()],
		ops: [...klp.patching.klp_ops.keys()],
		registered: [...ftrace.ftrace_ops_list].length,
		structs: ftrace.opsByAddress.size,
		flags: [...ftrace.records.values()].map(({ flags, count, current }) => [flags, count, current]),
		transition: klp.transition.klp_transition_patch,
		target: klp.transition.klp_target_state,
		tasks: [...it.sched.all()].map((task) => [task.comm, task.patch_state, task.thread_flags]),
		mutex: [klp.klp_mutex.locked, ftrace.ftrace_lock.locked],
		regions: it.memory.regions.map(({ name }) => name),
	};
}

/** Loads lp1 as a livepatch of these, expects it to be refused without a trace, and gives the new lines of dmesg. */
function refused(spec: PatchSpec, errno: number): string[] {
	machine.task("t", "funcA");
	machine.rounds(5);
	const before = traces();
	const seen = machine.dmesg().length;
	expect(machine.insmod("lp1", spec)).toBe(errno);
	expect(traces()).toEqual(before);
	return machine
		.dmesg()
		.slice(seen)
		.filter((line) => !line.includes("TAINT"));
}

const replaceA = { old: "funcA", by: "lp1_funcA" };
const vmlinux = (...funcs: PatchSpec["objects"][string]): PatchSpec => ({ objects: { vmlinux: funcs } });

describe("checks before anything is touched", () => {
	test("a module that is not marked as a livepatch: -EINVAL, and it says so", () => {
		const plain: module = { name: "plain", livepatch: false, klp_alive: true, refcount: 0, klpRelocations: [] };
		const enable = (funcs: klp_func[]) => {
			const patch = new klp_patch({ mod: plain, objs: [new klp_object({ name: undefined, funcs })] });
			return machine.it.shell.run(machine.klp.klp_enable_patch(patch));
		};
		expect(enable([new klp_func({ old_name: "funcA", new_func: 1, new_name: "x" })])).toBe(EINVAL);
		expect(machine.dmesg()).toEqual(["livepatch: module plain is not marked as a livepatch module"]);
		expect(plain.refcount).toBe(0);
	});
	test("[rule 1.5] states: a cumulative patch must know all of them, in at least the same version", () => {
		const states = (...versions: [bigint, number][]) => versions.map(([id, version]) => ({ id, version }));
		machine.insmod("lp2", { ...vmlinux({ old: "funcB", by: "lp2_funcB" }), states: states([1n, 2], [2n, 1]) });
		machine.settle();
		const message = "livepatch: Livepatch patch (lp1) is not compatible with the already installed livepatches.";
		expect(refused({ ...vmlinux(replaceA), replace: true, states: states([1n, 2]) }, EINVAL)).toEqual([message]);
		expect(machine.insmod("lp1", { ...vmlinux(replaceA), states: states([1n, 1]) })).toBe(EINVAL);
		expect(machine.insmod("lp1", { ...vmlinux(replaceA), states: states([2n, 1]) })).toBe(0);
		machine.settle();
		expect(
			machine.insmod("lp4", {
				...vmlinux({ old: "funcA", by: "lp4_funcA" }),
				replace: true,
				states: states([1n, 3], [2n, 1]),
			}),
		).toBe(0);
	});
	test("[rule 1.5] [rule 1.9] compatibility comes before a running transition, symbols too", () => {
		machine.sleeper("s", "funcA");
		const lp2 = { ...vmlinux({ old: "funcA", by: "lp2_funcA" }), states: [{ id: 1n, version: 1 }] };
		expect(machine.insmod("lp2", lp2)).toBe(0);
		expect(machine.cat("lp2/transition")).toBe("1");
		expect(machine.insmod("lp1", { ...vmlinux(replaceA), replace: true })).toBe(EINVAL);
		expect(machine.dmesg("not compatible")).toHaveLength(1);
		expect(refused(vmlinux({ old: "nowhere", by: "lp1_funcA" }), EINVAL)).toEqual([
			"livepatch: symbol 'nowhere' not found in symbol table",
		]);
		expect(refused(vmlinux(replaceA), EBUSY)).toEqual([]);
	});
});

describe("names", () => {
	test.each([
		["no old_name", "", "lp1_funcA"],
		["no new_func", "funcA", "not_there"],
		["old_name of 512 characters", "x".repeat(512), "lp1_funcA"],
	])("[rule 1.7] %s: -EINVAL, no message", (_title, old, by) => {
		expect(refused(vmlinux({ old, by }), EINVAL)).toEqual([]);
	});
	test("[rule 1.7] [rule 1.8] 511 characters are a name, only not one of a symbol", () => {
		const old = "x".repeat(511);
		expect(refused(vmlinux({ old, by: "lp1_funcA" }), EINVAL)).toEqual([
			`livepatch: symbol '${old}' not found in symbol table`,
		]);
	});
	test("[rule 1.7] [rule 1.12] an object name of 56 characters: -EINVAL; of 55: waits for its module", () => {
		expect(refused({ objects: { ["m".repeat(56)]: [replaceA] } }, EINVAL)).toEqual([]);
		expect(machine.insmod("lp1", { objects: { ["m".repeat(55)]: [replaceA] } })).toBe(0);
	});
	test("the second function decides too", () => {
		expect(refused(vmlinux(replaceA, { old: "nowhere", by: "lp1_funcA" }), EINVAL)).toEqual([
			"livepatch: symbol 'nowhere' not found in symbol table",
		]);
	});
});

test("one function twice, at the positions 0 and 1: one name in sysfs, -EEXIST", () => {
	const lines = refused(vmlinux(replaceA, { ...replaceA, sympos: 1 }), -17);
	expect(lines[0]).toBe("sysfs: cannot create duplicate filename '/kernel/livepatch/lp1/vmlinux/funcA,1'");
});

describe("sympos", () => {
	const twin = (sympos: number) => vmlinux({ old: "twin", by: "lp1_funcA", sympos });
	test("[rule 1.8] 0 with two functions of the name: -EINVAL", () => {
		expect(refused(twin(0), EINVAL)).toEqual([
			"livepatch: unresolvable ambiguity for symbol 'twin' in object '(null)'",
		]);
	});
	test("[rule 1.8] 3 of two: -EINVAL", () => {
		expect(refused(twin(3), EINVAL)).toEqual([
			"livepatch: symbol position 3 for symbol 'twin' in object 'vmlinux' not found",
		]);
	});
	test.each([
		[1, "call_twin", "call_other_twin", 502],
		[2, "call_other_twin", "call_twin", 501],
	])("%d: that one and no other", (sympos, changed, kept, base) => {
		const task = machine.task("t", "untraced");
		expect(machine.insmod("lp1", twin(sympos))).toBe(0);
		machine.settle();
		expect(machine.call(task, changed)).toBe(meaning.funcA(task.pid, 1100));
		expect(machine.call(task, kept)).toBe(meaning.funcA(task.pid, base));
		const [object] = machine.patchOf("lp1").obj_list;
		expect(machine.klp.sysfs.functions(object!)).toEqual([`twin,${sympos}`]);
	});
	test("[rule 4.5] [rule 9.2] 1 with a single function is that function; in sysfs 0 is 1", () => {
		expect(machine.insmod("lp1", vmlinux({ ...replaceA, sympos: 1 }, { old: "funcB", by: "lp1_funcA" }))).toBe(0);
		expect(machine.klp.sysfs.functions(machine.patchOf("lp1").obj_list[0]!)).toEqual(["funcA,1", "funcB,1"]);
	});
});

describe("patching itself fails", () => {
	test("[rule 2.3] a function without fentry site: -EINVAL, rolled back, every task IDLE again", () => {
		expect(refused(vmlinux(replaceA, { old: "untraced", by: "lp1_funcA" }), EINVAL)).toEqual([
			"livepatch: enabling patch 'lp1'",
			"livepatch: 'lp1': initializing patching transition",
			"livepatch: failed to find location for function 'untraced'",
			"livepatch: failed to patch object 'vmlinux'",
			"livepatch: failed to enable patch 'lp1'",
			"livepatch: 'lp1': canceling patching transition, going to unpatch",
			"livepatch: 'lp1': completing unpatching transition",
			"livepatch: 'lp1': unpatching complete",
		]);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
	test("[rule 1.11] pre_patch refuses: its errno, and no post_unpatch for it", () => {
		const log: string[] = [];
		const callbacks = {
			pre_patch: () => {
				log.push("pre_patch");
				return -19;
			},
			post_unpatch: () => void log.push("post_unpatch"),
		};
		expect(refused({ ...vmlinux(replaceA), callbacks }, -19)).toContain(
			"livepatch: pre-patch callback failed for object 'vmlinux'",
		);
		expect(log).toEqual(["pre_patch"]);
	});
	test("[rule 1.11] pre_patch was content but patching fails: post_unpatch cleans up", () => {
		const log: string[] = [];
		const callbacks = {
			pre_patch: () => {
				log.push("pre_patch");
				return 0;
			},
			post_patch: () => void log.push("post_patch"),
			pre_unpatch: () => void log.push("pre_unpatch"),
			post_unpatch: () => void log.push("post_unpatch"),
		};
		refused({ ...vmlinux({ old: "untraced", by: "lp1_funcA" }), callbacks }, EINVAL);
		expect(log).toEqual(["pre_patch", "post_unpatch"]);
	});
	test("[rule 3.19] replaced patches get no unpatch callbacks; the one that is disabled does", () => {
		const log: string[] = [];
		const callbacksOf = (name: string) => ({
			pre_patch: () => {
				log.push(`${name} pre_patch`);
				return 0;
			},
			post_patch: () => void log.push(`${name} post_patch`),
			pre_unpatch: () => void log.push(`${name} pre_unpatch`),
			post_unpatch: () => void log.push(`${name} post_unpatch`),
		});
		machine.insmod("lp1", { ...vmlinux(replaceA), callbacks: callbacksOf("lp1") });
		machine.settle();
		const lp2 = vmlinux({ old: "funcA", by: "lp2_funcA" });
		machine.insmod("lp2", { ...lp2, replace: true, callbacks: callbacksOf("lp2") });
		machine.settle();
		machine.echo("0", "lp2/enabled");
		machine.settle();
		expect(log).toEqual([
			...["lp1 pre_patch", "lp1 post_patch", "lp2 pre_patch", "lp2 post_patch"],
			...["lp2 pre_unpatch", "lp2 post_unpatch"],
		]);
	});
	test("[rule 6.6] ftrace is off: -EBUSY for a livepatch, whose ops are permanent", () => {
		machine.it.shell.run(machine.ftrace.ftrace_enable_sysctl(false));
		expect(refused(vmlinux(replaceA), EBUSY)).toContain(
			"livepatch: failed to register ftrace handler for function 'funcA' (-16)",
		);
	});
	test("[rule 1.8] a symbol without size: -ENOENT", () => {
		const { kallsyms } = machine.it;
		const lookup = kallsyms.kallsyms_lookup_size_offset.bind(kallsyms);
		const target = machine.addr("funcA");
		Object.assign(kallsyms, {
			kallsyms_lookup_size_offset: (address: number) => (address === target ? { size: 0, offset: 0 } : lookup(address)),
		});
		expect(refused(vmlinux(replaceA), ENOENT)).toEqual(["livepatch: kallsyms size lookup failed for 'funcA'"]);
		Object.assign(kallsyms, {
			kallsyms_lookup_size_offset: (address: number) => (address === target ? lookup(address) : undefined),
		});
		expect(refused(vmlinux(replaceA), ENOENT)).toEqual([
			"livepatch: kallsyms size lookup failed for 'funcA' replacement",
		]);
	});
});

test("[rule 1.14] the words of an enable and a disable, in order", () => {
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.settle();
	machine.echo("0", "lp1/enabled");
	machine.settle();
	const words = machine.dmesg().filter((line) => !/is running|is sleeping|TAINT/.test(line));
	expect(words).toEqual([
		"livepatch: enabling patch 'lp1'",
		"livepatch: 'lp1': initializing patching transition",
		"livepatch: 'lp1': starting patching transition",
		"livepatch: 'lp1': completing patching transition",
		"livepatch: 'lp1': patching complete",
		"livepatch: 'lp1': initializing unpatching transition",
		"livepatch: 'lp1': starting unpatching transition",
		"livepatch: 'lp1': completing unpatching transition",
		"livepatch: 'lp1': unpatching complete",
	]);
});

describe("klp_mutex", () => {
	test("is held over the whole of klp_enable_patch: a second caller waits for it", () => {
		const first = machine.it.modules;
		machine.task("t", "funcA");
		machine.insmodPlain("lp1", "lp1");
		const mod = { ...first.get("lp1")!, livepatch: true };
		const func = new klp_func({ old_name: "funcA", new_name: "lp1_funcA", new_func: machine.addr("lp1_funcA") });
		const code = machine.klp.klp_enable_patch(
			new klp_patch({ mod, objs: [new klp_object({ name: undefined, funcs: [func] })] }),
		);
		expect(machine.klp.klp_mutex.locked).toBe(false);
		let steps = 0;
		for (let step = code.next(); !step.done; step = code.next()) {
			expect(machine.klp.klp_mutex.locked).toBe(true);
			const other = machine.it.klp.sysfs.write("lp1/enabled", "0");
			const blocked = other.next().value;
			expect(blocked).toMatchObject({ label: "mutex_lock(klp_mutex)" });
			expect((blocked as { ready(): boolean }).ready()).toBe(false);
			steps++;
		}
		expect(steps).toBeGreaterThan(10);
		expect(machine.klp.klp_mutex.locked).toBe(false);
	});
});
