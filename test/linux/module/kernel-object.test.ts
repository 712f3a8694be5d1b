/** A .ko is a source like any other: its struct module, its .modinfo, and its structs in the layout of its kernel. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ElfObject, ElfSection } from "../../../src/elf/index.js";
import { KernelLayout } from "../../../src/linux/lib/index.js";
import { CPU_NAMES } from "../../../src/node/index.js";
import { KO_LAYOUT, KO_RELEASE, type KoOptions, livepatchBody, makeKo } from "../../support/ko.js";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

/** module_augment_kernel_taints() comes before simplify_symbols(). */
const TAINTS = ["lp: loading out-of-tree module taints kernel.", "lp: tainting kernel with TAINT_LIVEPATCH"];
const [ENOENT, ENOEXEC, EBUSY] = [-2, -8, -16];

describe.each(CPU_NAMES)("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, kernel: true, kernelLayout: KO_LAYOUT });
	});
	afterEach(() => machine.close());
	const load = async (body: string, options?: KoOptions) => machine.insmodC("lp", await makeKo("lp", body, options));
	const callFuncA = () => machine.call(machine.task("t", "funcA"), "funcA");

	test("init and exit come from the struct module; its state is written there", async () => {
		const body = livepatchBody({ more: "int seen[3]; static int old_init(void) { return -1; }" })
			.replace("static int lp_init(void) {", "static int lp_init(void) { seen[0] = __this_module.state;")
			.replace("static void lp_exit(void) {", "static void lp_exit(void) { seen[1] = __this_module.state;");
		// The name init_module is what modpost reads, not what the kernel calls.
		const decoy = "int init_module(void) { return old_init(); }\n";
		expect(await load(body.replace("static int lp_init", `${decoy}static int lp_init`))).toBe(0);
		const seen = machine.addr("seen");
		const state = (index: number) => machine.it.memory.u32((seen + 4 * index) | 0);
		expect(state(0)).toBe(1);
		machine.settle();
		expect(callFuncA()).toBe(42);
		expect(machine.echo("0", "lp/enabled")).toBe(0);
		machine.settle();
		expect(machine.it.shell.rmmod("lp")).toBe(0);
		expect(machine.it.modules.size).toBe(0);
	});

	test("structs are read in the layout of the .ko, and callbacks get the module's own struct klp_object", async () => {
		const more = `
char seen_name[8]; long seen_mod, seen_patched, seen_version;
static struct klp_patch patch;
static int pre(struct klp_object *obj) { seen_mod = (long)obj->mod; seen_patched = obj->patched; return 0; }
static void post(struct klp_object *obj) { seen_patched = 10 * seen_patched + obj->patched + 2; }
static struct klp_state states[] = { { .id = 7, .version = 3 }, { } };
`;
		const body = livepatchBody({
			more,
			objects: "{ .funcs = funcs, .callbacks = { .pre_patch = pre, .post_patch = post } }, { }",
		})
			.replace(".objs = objs }", ".objs = objs, .states = states, .replace = 1 }")
			.replace("return klp_enable", "seen_version = klp_get_state(&patch, 7)->version; return klp_enable");
		expect(await load(body)).toBe(0);
		machine.settle();
		const word = (name: string) => Number(machine.it.memory.u64(machine.addr(name)));
		expect([word("seen_mod"), word("seen_patched"), word("seen_version")]).toEqual([0, 3, 3]);
		expect(machine.cat("lp/replace")).toBe("1");
		expect(machine.patchOf("lp").states).toMatchObject([{ id: 7n, version: 3 }]);
	});

	test("a .ko that patches a .ko: obj->mod is the struct module of the target", async () => {
		const target = `noinline long in_target(long x) { return x; }
static int lp_init(void) { return 0; }
static void lp_exit(void) { }
`;
		expect(machine.insmodC("target", await makeKo("target", target, { livepatch: false }))).toBe(0);
		const more = `
long seen_state; char seen_name;
static int pre(struct klp_object *obj) { seen_state = obj->mod->state + 10; seen_name = obj->mod->name[0]; return 0; }
`;
		const objects = '{ .name = "target", .funcs = funcs, .callbacks = { .pre_patch = pre } }, { }';
		expect(await load(livepatchBody({ more, objects }).replace('"funcA"', '"in_target"'))).toBe(0);
		machine.settle();
		expect(Number(machine.it.memory.u64(machine.addr("seen_state")))).toBe(10);
		expect(machine.it.memory.u8(machine.addr("seen_name"))).toBe("t".charCodeAt(0));
		expect(machine.call(machine.task("t", "in_target"), "in_target")).toBe(42);
	});

	test("a module without exit stays; one without init and exit is loaded and goes", async () => {
		expect(await load(livepatchBody(), { exit: null })).toBe(0);
		machine.settle();
		expect(machine.echo("0", "lp/enabled")).toBe(0);
		machine.settle();
		expect(machine.it.shell.rmmod("lp")).toBe(EBUSY);
		const plain = await makeKo("plain", "long f(long x) { return x; }", { init: "NULL", exit: null, livepatch: false });
		expect(machine.insmodC("plain", plain)).toBe(0);
		expect(machine.it.shell.rmmod("plain")).toBe(0);
	});

	test("without livepatch=Y its patch is refused, in the kernel's words", async () => {
		expect(await load(livepatchBody(), { livepatch: false })).toBe(-22);
		expect(machine.dmesg("livepatch: ")).toEqual(["livepatch: module lp is not marked as a livepatch module"]);
	});

	test("a .ko of another release is -ENOEXEC, and both are named", async () => {
		expect(await load(livepatchBody(), { vermagic: "6.1.0-13-amd64 SMP preempt mod_unload modversions " })).toBe(
			ENOEXEC,
		);
		expect(machine.dmesg("lp: ")).toEqual([
			`lp: version magic '6.1.0-13-amd64 SMP preempt mod_unload modversions ' should be '${KO_RELEASE}'`,
		]);
		expect(machine.it.modules.size).toBe(0);
	});

	test("a struct module of another size is -ENOEXEC", async () => {
		const edit = (text: string) =>
			text.replace("u64 pad4[6]", "u64 pad4[7]").replace("sizeof(struct module) == 256 && ", "");
		expect(await load(livepatchBody(), { edit })).toBe(ENOEXEC);
		expect(machine.dmesg("lp: ")).toEqual([
			expect.stringMatching(/size must match the kernel's built struct module size/),
		]);
	});

	test("symbols that nothing has are -ENOENT; a .ko is not converted as klp-convert does", async () => {
		const funcs = `extern long twin(long x) __asm__("\\".klp.sym.vmlinux.call_twin,0\\"");
long nowhere(long x);
long new_funcA(long x) { return twin(x) + nowhere(x); }`;
		expect(await load(livepatchBody({ funcs }))).toBe(ENOENT);
		expect(machine.dmesg("lp: ")).toEqual([
			"lp: Unknown symbol .klp.sym.vmlinux.call_twin,0 (err -2)",
			"lp: Unknown symbol nowhere (err -2)",
		]);
	});

	test.each([
		["Proprietary", "Proprietary"],
		["BSD", "BSD"],
		[null, "unspecified"],
	])("a livepatch with the licence %s does not find klp_enable_patch()", async (license, named) => {
		expect(await load(livepatchBody(), { license })).toBe(ENOENT);
		expect(machine.dmesg("lp: ")).toEqual([
			...TAINTS,
			`lp: module license '${named}' taints kernel.`,
			"lp: Unknown symbol klp_enable_patch (err -2)",
		]);
		expect(machine.it.modules.size).toBe(0);
	});

	test.each(["GPL v2", "Dual MIT/GPL"])("a livepatch with the licence %s is loaded", async (license) => {
		expect(await load(livepatchBody(), { license })).toBe(0);
	});

	test("a proprietary module that uses nothing of the GPL's is loaded, with a taint", async () => {
		const body = 'static int lp_init(void) { return _printk("hello\\n") < 0; } static void lp_exit(void) { }';
		expect(await load(body, { license: "Proprietary", livepatch: false })).toBe(0);
		expect(machine.dmesg("lp: ")).toEqual([TAINTS[0], "lp: module license 'Proprietary' taints kernel."]);
		expect(machine.it.shell.read("/proc/modules")).toMatch(/^lp .* \(PO\)$/m);
	});

	test("a .ko under another name is an error: its name was built in", async () => {
		await expect(load(livepatchBody(), { structName: "other" })).rejects.toThrow(
			"the module is called 'other', not 'lp'",
		);
	});
});

test("a kernel with a proposal: struct klp_patch has the field of its design, and no replace", async () => {
	const entries = new Map(KO_LAYOUT.entries);
	entries.delete("klp_patch.replace");
	entries.set("klp_patch.replace_set", 0n);
	const kernelLayout = new KernelLayout(KO_RELEASE, entries);
	const machine = await createTestMachine({ kernel: true, kernelLayout, design: "replace-set-v1" });
	const body = livepatchBody().replace(".objs = objs }", ".objs = objs, .replace = 1 }");
	const patch = (name: string, set: number) =>
		makeKo(name, body.replace(".replace = 1", `.replace_set = ${set}`), {
			edit: (text) => text.replace("u32 pad; char pad2;", "u32 replace_set; char pad2;"),
		});
	for (const [name, set] of [
		["one", 7],
		["two", 8],
		["three", 7],
	] as const) {
		expect(machine.insmodC(name, await patch(name, set))).toBe(0);
		machine.settle();
	}
	expect(machine.patchOf("three").fields).toEqual({ replace_set: 7 });
	// The third one has replaced the first one, which is of its set.
	expect([machine.cat("one/enabled"), machine.cat("two/enabled")]).toEqual([-2, "1"]);
	machine.close();
});

test("without a kernel's layout a .ko is refused", async () => {
	const machine = await createTestMachine({ kernel: true });
	expect(machine.insmodC("lp", await makeKo("lp", livepatchBody()))).toBe(ENOEXEC);
	expect(machine.dmesg("lp: ")).toEqual([expect.stringMatching(/this machine has no kernel's layout/)]);
	machine.close();
});

const THIS_MODULE = ".gnu.linkonce.this_module";
type Change = (section: ElfSection) => Partial<ElfSection>;
/** The object with some of its sections changed. */
function changed(object: ElfObject, change: Change): ElfObject {
	return { ...object, sections: object.sections.map((section) => ({ ...section, ...change(section) })) };
}

test.each<[string, KoOptions, Change, RegExp]>([
	["vermagic", { vermagic: null }, () => ({}), /no 'vermagic' in .modinfo/],
	["a name", {}, ({ name }) => (name === ".modinfo" ? { data: new Uint8Array(9) } : {}), /no 'name' in .modinfo/],
	[
		"contents",
		{},
		({ name }) => (name === THIS_MODULE ? { type: 8 } : {}),
		/'.gnu.linkonce.this_module' has no contents/,
	],
	["symbols", {}, ({ type }) => (type === 2 ? { type: 1 } : {}), /the module has no symbol table.*\n.*strip -g/],
])("a .ko without %s is an error of the file", async (_what, options, change, message) => {
	const machine = await createTestMachine({ kernel: true, kernelLayout: KO_LAYOUT });
	const ko = changed(await makeKo("lp", livepatchBody(), options), change);
	expect(() => machine.insmodC("lp", ko)).toThrow(message);
	machine.close();
});

test("a struct module whose init is elsewhere is an error, and nothing stays", async () => {
	const machine = await createTestMachine({ kernel: true, kernelLayout: KO_LAYOUT });
	const regions = machine.it.memory.regions.length;
	for (const init of ["(void *)0x1234567812345678", "(void *)0xffffffff80000000"]) {
		const ko = await makeKo("lp", livepatchBody(), { init });
		expect(() => machine.insmodC("lp", ko)).toThrow(/has a function at 0x\w+, which is not in the module/);
	}
	expect(machine.it.memory.regions.length).toBe(regions);
	expect(machine.insmodC("lp", await makeKo("lp", livepatchBody()))).toBe(0);
	machine.close();
});

test("a .ko beside another source is an error", async () => {
	const machine = await createTestMachine({ kernel: true, kernelLayout: KO_LAYOUT });
	const other = await compileModule("other", "int other;");
	const ko = await makeKo("lp", livepatchBody());
	expect(() => machine.it.shell.insmod("lp", [other, ko])).toThrow(/a .ko is a whole module/);
	machine.close();
});
