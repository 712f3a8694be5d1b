/** The ways in which modules describe their livepatch, and what is done at run time. */
import { describe, expect, test } from "vitest";
import { check, type KoOptions, kinds, ko, textFile } from "./ko.js";

const EXT = (section: string, funcs = '{ "foo", new_foo, 2 }'): KoOptions => ({
	code: "void *kzalloc(u64, int); static int pre(struct klp_object *o) { return 0; }",
	body: `
static struct klp_func_ext funcs[] SECTION(".init.klp_funcs") = { ${funcs} };
static struct klp_object_ext objects[] SECTION("${section}") = { { "ext4", funcs, { .pre_patch = pre }, 1 }, { NULL, funcs, { }, 1 } };
int __init init_module(void) { struct klp_patch *patch = kzalloc(200, 0); return klp_enable_patch(patch); }
void cleanup_module(void) { }`,
});

describe("klp-build", () => {
	test.each([".init.klp_objects", "__klp_objects"])("section %s", (section) => {
		const report = check(ko(EXT(section)));
		expect(report.findings).toEqual([]);
		const funcs = [{ oldName: "foo", sympos: 2, newFunc: "new_foo" }];
		expect(report.patches).toEqual([
			{
				form: "klp-build",
				replace: null,
				states: [],
				objects: [
					{ name: "ext4", funcs, callbacks: { pre_patch: "pre" }, relocations: 0, symbols: [] },
					{ name: "vmlinux", funcs, callbacks: {}, relocations: 0, symbols: [] },
				],
			},
		]);
		expect(report.notLookedAt).toContain("replace: the init function of klp-build sets it");
	});

	test.each([true, false])("replace is what the init function writes: %s", (replace) => {
		const { body = "", ...rest } = EXT(".init.klp_objects");
		const set = body.replace("return klp", `patch->replace = ${Number(replace)}; return klp`);
		const report = check(ko({ ...rest, body: set }));
		expect(report.patches[0]?.replace).toBe(replace);
		expect(report.notLookedAt.filter((what) => what.startsWith("replace"))).toEqual([]);
	});

	test("a table that is cut is an error", () => {
		const cut = ko({
			...EXT(".init.klp_objects"),
			more: "",
			code: `${EXT("x").code} static char rest[8] SECTION(".init.klp_objects") = "x";`,
		});
		expect(() => check(cut)).toThrow("the section ends within klp_object_ext");
	});

	test("an entry without a name is told as for any other livepatch", () => {
		expect(kinds(check(ko(EXT(".init.klp_objects", "{ NULL, new_foo, 0 }"))))).toEqual([
			"func-no-name",
			"func-no-name",
		]);
	});
});

/** A variable of assembly, which has no size, at the end of its section. */
const CUT = '__asm__(".section .cut,\\"aw\\"; cut: .quad 1; .previous");';

test.each([
	["klp_patch", "static struct klp_patch unused = { THIS_MODULE };", "cut"],
	["klp_object", "static struct klp_patch patch = { THIS_MODULE, cut };", "&patch"],
	[
		"klp_func",
		"static struct klp_object objs[] = { { NULL, cut }, { } }; static struct klp_patch patch = { THIS_MODULE, objs };",
		"&patch",
	],
	["klp_state", "static struct klp_patch patch = { THIS_MODULE, NULL, cut };", "&patch"],
])("a %s that its section cuts is an error", (what, more, patch) => {
	const cut = `${CUT} extern struct ${what} cut[]; ${more}`;
	const body = `${cut} int __init init_module(void) { return klp_enable_patch(${patch}); } void cleanup_module(void) { }`;
	expect(() => check(ko({ body }))).toThrow(`the section ends within ${what}`);
});

test.each([
	[
		"a table that is cut",
		'static char rest[8] SECTION(".kpatch.funcs") = "x";',
		"the section ends within kpatch_patch_func",
	],
	["an empty entry", 'static u64 empty[7] SECTION(".kpatch.funcs") = { };', "an entry of kpatch's table is empty"],
	[
		"an entry without an object",
		'static u64 entry[7] SECTION(".kpatch.funcs") = { 1 };',
		"an entry of kpatch's table names no object",
	],
])("kpatch: %s is an error", (_, table, message) => {
	const init = "void *kzalloc(u64, int); int __init init_module(void) { return klp_enable_patch(kzalloc(200, 0)); }";
	expect(() => check(ko({ body: `${table} ${init} void cleanup_module(void) { }` }))).toThrow(message);
});

test("kpatch: its table of functions, and callbacks by object", () => {
	const report = check(
		ko({
			code: "void *kzalloc(u64, int); static int pre(struct klp_object *o) { return 0; }",
			body: `
static struct { void *new_addr; u64 new_size, old_addr, old_size, sympos; const char *name, *objname; } funcs[] SECTION(".kpatch.funcs") = {
	{ new_foo, 8, 0, 8, 1, "foo", "vmlinux" }, { new_foo, 8, 0, 8, 0, "bar", "ext4" }, };
static struct { void *callback; const char *objname; } callbacks[] SECTION(".kpatch.callbacks.pre_patch") = { { pre, "ext4" }, { pre, "xfs" } };
int __init init_module(void) { return klp_enable_patch(kzalloc(200, 0)); }
void cleanup_module(void) { }`,
		}),
	);
	expect(report.findings).toEqual([]);
	expect(report.patches).toMatchObject([
		{
			form: "kpatch",
			objects: [
				{ name: "vmlinux", funcs: [{ oldName: "foo", sympos: 1, newFunc: "new_foo" }], callbacks: {} },
				{ name: "ext4", funcs: [{ oldName: "bar", sympos: 0, newFunc: "new_foo" }], callbacks: { pre_patch: "pre" } },
				{ name: "xfs", funcs: [], callbacks: { pre_patch: "pre" } },
			],
		},
	]);
});

describe("SUSE's tables of symbols that the module looks up itself", () => {
	const suse = (entries: string) =>
		ko({
			code: `struct klp_kallsyms_reloc { const char *symname; void **addr; const char *objname; u64 sympos; };
int klp_resolve_kallsyms_relocs(struct klp_kallsyms_reloc *relocs, u64 count);
static void *a, *b; void *use(void) { return a ? a : b; }
static struct klp_kallsyms_reloc table[] = { ${entries} };`,
			init: "int ret = klp_resolve_kallsyms_relocs(table, sizeof(table) / sizeof(table[0])); if (ret) return ret;",
		});
	const map = textFile("System.map", ["ffffffff81000000 T foo", "ffffffff81000010 t bar", "ffffffff81000020 t bar"]);

	test("names and positions are looked up", () => {
		const right = check(suse('{ "foo", &a }, { "bar", &b, NULL, 2 }'), [map]);
		expect(right.findings).toEqual([]);
		expect(right.lookedAt).toContain("2 symbols that init_module() looks up");
		const wrong = check(suse('{ "fooo", &a }, { "bar", &b }'), [map]);
		expect(wrong.findings).toMatchObject([
			{
				kind: "kallsyms-missing",
				errno: "-ENOENT",
				dmesg: "livepatch: symbol fooo not resolved",
				place: { in: "table" },
			},
			{ kind: "kallsyms-first", place: { object: "vmlinux", in: "table+0x20" } },
		]);
	});

	test("a name that is not in the file is said", () => {
		expect(check(suse("{ NULL, &a }"), [map]).notLookedAt).toContain("the name at table: it is set at run time");
	});

	test("of a module without its file nothing is said, but that", () => {
		const report = check(suse('{ "x", &a, "ext4" }'), [map]);
		expect(report.findings).toEqual([]);
		expect(report.notLookedAt).toContain("names and positions in ext4: give --against ext4.ko");
	});
});

describe("at run time", () => {
	test("a klp_patch that is made at run time is said to be so", () => {
		const report = check(
			ko({
				body: "void *kzalloc(u64, int); int init_module(void) { return klp_enable_patch(kzalloc(200, 0)); } void cleanup_module(void) { }",
			}),
		);
		expect(report).toMatchObject({ verdict: "clean", patches: [], findings: [] });
		expect(report.notLookedAt).toContain("the livepatch: init_module() makes or chooses its klp_patch at run time");
	});

	test("what code may write into an array is no finding, and is said", () => {
		const filled = { funcs: '{ .old_name = "foo" }, { }', init: "funcs[0].new_func = (void *) __this_module.init;" };
		const report = check(ko(filled));
		expect(report.findings).toEqual([]);
		expect(report.notLookedAt).toContain("what init_module() writes into the livepatch's arrays at run time");
		expect(kinds(check(ko({ ...filled, init: "" })))).toEqual(["func-no-new"]);
	});

	test("the argument is found behind branches and copies of registers", () => {
		const choice = `
int flag; int __init helper(struct klp_patch *p); static struct klp_patch patch;
int __init init_module(void) { struct klp_patch *p = &patch; if (flag) _printk("x"); return klp_enable_patch(p) ? -1 : 0; }
static struct klp_func funcs[] = { { .old_name = "foo", .new_func = new_foo }, { } };
static struct klp_object objs[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
void cleanup_module(void) { }`;
		expect(check(ko({ body: choice })).patches).toMatchObject([{ objects: [{ name: "vmlinux" }] }]);
	});

	test("a call in between: the registers of arguments are not what they were", () => {
		const between = (call: string) => `
static struct klp_func funcs[] = { { .old_name = "foo", .new_func = new_foo }, { } };
static struct klp_object objs[] = { { .funcs = funcs }, { } };
struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
void other(void); void cleanup_module(void) { }
int __init init_module(void) { __asm__("mov $patch, %rdi; ${call}; call klp_enable_patch"); return 0; }`;
		expect(check(ko({ body: between("nop") })).patches).toHaveLength(1);
		expect(check(ko({ body: between("call other") })).patches).toHaveLength(0);
	});

	test("one of two livepatches, by a condition: it is not guessed which, and said", () => {
		const two = `
int flag; static struct klp_patch a, b;
int __init init_module(void) { return klp_enable_patch(flag ? &a : &b); }
void cleanup_module(void) { }`;
		for (const flags of [[], ["-fno-if-conversion", "-fno-if-conversion2"]]) {
			const { patches, notLookedAt } = check(ko({ body: two, flags }));
			expect(patches).toEqual([]);
			expect(notLookedAt).toContain("the livepatch: init_module() makes or chooses its klp_patch at run time");
		}
	});
});

test("a module that is no livepatch is told as one", () => {
	const report = check(ko({ body: "int init_module(void) { return 0; }", modinfo: { livepatch: null } }));
	expect(report).toMatchObject({ verdict: "clean", module: { livepatch: false }, patches: [], findings: [] });
});

test("data-init: structures that are freed after loading; name-no-text: a name that is none", () => {
	const init = 'static struct klp_func funcs[] __attribute__((__section__(".init.data"))) = {';
	const body = (start: string, name = '"foo"') => `${start} { .old_name = ${name}, .new_func = new_foo }, { } };
static struct klp_object objs[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
int init_module(void) { return klp_enable_patch(&patch); } void cleanup_module(void) { }`;
	expect(kinds(check(ko({ body: body(init) })))).toEqual(["data-init"]);
	const usual = "static struct klp_func funcs[] = {";
	expect(kinds(check(ko({ body: body(usual) })))).toEqual([]);
	expect(kinds(check(ko({ body: body(usual, "(char *) 4096") })))).toEqual(["name-no-text"]);
});
