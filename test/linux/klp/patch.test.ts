/** kernel/livepatch/patch.c, called as only a bug would: each WARN_ON() says so and nothing else happens. And where memory may run out. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { klp_func, klp_object, kstrtobool } from "../../../src/linux/klp/index.js";
import { FtraceTest } from "../../support/ftrace.js";
import { createTestMachine, type TestMachine } from "../../support/machine.js";

const EINVAL = -22;

let machine: TestMachine;
const asked: string[] = [];
let failing: RegExp | undefined;
beforeEach(async () => {
	asked.length = 0;
	failing = undefined;
	machine = await createTestMachine({
		should_fail: (place) => {
			asked.push(place);
			return failing?.test(place) === true;
		},
	});
});
afterEach(() => machine.close());

describe("WARN_ON()", () => {
	const funcOf = (fields: Partial<Pick<klp_func, "old_func" | "patched">>) =>
		Object.assign(new klp_func({ old_name: "funcA", new_name: "lp1_funcA", new_func: 16 }), fields);
	const warned = () => machine.it.dmesg.warnings.splice(0);

	test.each([
		["!func->patched", { patched: false, old_func: 16 }],
		["!func->old_func", { patched: true, old_func: 0 }],
		["!ops", { patched: true, old_func: 16 }],
	])("klp_unpatch_func: %s", (what, fields) => {
		const func = funcOf(fields);
		machine.it.shell.run(machine.klp.patching.klp_unpatch_func(func));
		expect([warned(), func.patched]).toEqual([[`klp_unpatch_func: ${what}`], fields.patched]);
	});

	test.each([
		["!func->old_func", { old_func: 0 }],
		["func->patched", { patched: true, old_func: 16 }],
	])("klp_patch_func: %s", (what, fields) => {
		const ret = machine.it.shell.run(machine.klp.patching.klp_patch_func(funcOf(fields)));
		expect([ret, warned(), machine.klp.patching.klp_ops.size]).toEqual([EINVAL, [`klp_patch_func: ${what}`], 0]);
	});

	test("klp_patch_object: obj->patched", () => {
		const obj = Object.assign(new klp_object({ name: undefined, funcs: [] }), { patched: true });
		const ret = machine.it.shell.run(machine.klp.patching.klp_patch_object(obj));
		expect([ret, warned()]).toEqual([EINVAL, ["klp_patch_object: obj->patched"]]);
	});
});

test("the places of an enable that may fail, in order", () => {
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.settle();
	expect(asked).toMatchInlineSnapshot(`
		[
		  "kobject_create_and_add(livepatch)",
		  "ftrace_process_locs(vmlinux)",
		  "module_memory_alloc(lp1)",
		  "ftrace_process_locs(lp1)",
		  "mod_sysfs_setup(lp1)",
		  "try_module_get(lp1)",
		  "kobject_add(lp1)",
		  "kobject_add(vmlinux)",
		  "kobject_add(funcA)",
		  "kzalloc(struct klp_ops)",
		  "alloc_and_copy_ftrace_hash(add)",
		  "alloc_tramp(ftrace_trampoline:funcA)",
		  "ftrace_verify_code(0xffffffff81000030)",
		  "schedule_on_each_cpu(klp_sync)",
		]
	`);
});

test("without memory for the filter: -ENOMEM, the words say which function, and the next try works", () => {
	failing = /^alloc_and_copy_ftrace_hash\(add\)$/;
	expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(-12);
	const said = "livepatch: failed to set ftrace filter for function 'funcA' (-12)";
	expect([machine.dmesg("failed to set"), machine.klp.patching.klp_ops.size]).toEqual([[said], 0]);
	expect(machine.it.dmesg.warnings).toEqual([]);
	failing = undefined;
	expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(0);
});

test("a site whose target stays the same is neither checked nor written again", () => {
	const f = new FtraceTest(machine);
	const written = [1, 2, 3].map((number) => {
		asked.length = 0;
		expect(
			f.register(
				f.tracer(`tracer${number}`, () => {}),
				"funcA",
			),
		).toBe(0);
		return asked.filter((place) => place.startsWith("ftrace_verify_code")).length;
	});
	// Its own trampoline, the list function, and the list function still.
	expect(written).toEqual([1, 1, 0]);
});

test("locks have the names that a deadlock is told with", () => {
	const { klp, ftrace } = machine;
	const names = [klp.klp_mutex, ftrace.ftrace_lock, ftrace.direct.direct_mutex].map(({ name }) => name);
	expect(names).toEqual(["klp_mutex", "ftrace_lock", "direct_mutex"]);
});

test("paths in sysfs may have slashes too many", () => {
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	const { sysfs } = machine.klp;
	expect(["lp1/enabled", "/lp1//enabled/", "lp1/vmlinux//patched"].map((path) => sysfs.read(path))).toEqual([
		"1",
		"1",
		"1",
	]);
	expect(["", "lp1", "lp1/none", "none/enabled", "lp1/vmlinux"].map((path) => sysfs.read(path))).toEqual(
		Array(5).fill(-2),
	);
});

test("kstrtobool(): the first letter decides, after an o the second one", () => {
	const texts = ["1", "y", "Y", "t", "T", "yes", "on", "ON", "oN", "0", "n", "N", "f", "F", "no", "off", "OFF", "of"];
	expect(texts.map(kstrtobool)).toEqual([...Array(9).fill(true), ...Array(9).fill(false)]);
	expect(["", "2", "o", "ox", "xf", "xn", " 1", "-1"].map(kstrtobool)).toEqual(Array(8).fill(undefined));
});
