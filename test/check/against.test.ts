/** What files of the kernel say about a livepatch: names, positions, call sites, exported symbols. */
import { describe, expect, test } from "vitest";
import { checkModule } from "../../src/check/index.js";
import { KernelLayout } from "../../src/linux/klp-c/index.js";
import { check, compileC, kinds, ko, layout, textFile, VERMAGIC } from "./ko.js";
import { vmlinux } from "./vmlinux.js";

const N = "__attribute__((__noinline__, __noclone__, __used__))";
const NOTRACE = "__attribute__((no_instrument_function))";
const KERNEL = {
	entry: `${NOTRACE} void __fentry__(void) { }
${NOTRACE} void schedule(void) { __asm__("nop"); }
${NOTRACE} void mutex_lock(void *m) { __asm__("nop"); }
__attribute__((__noreturn__)) ${NOTRACE} void do_exit(long x) { for (;;) ; }
char vermagic[] = "${VERMAGIC}";`,
	first: `${N} static long same(long x) { return x + 1; }
${N} long foo(long x) { return same(x); }
${N} ${NOTRACE} long quiet(long x) { return x; }
long also(long x) __attribute__((__alias__("foo")));`,
	second: `void schedule(void); void mutex_lock(void *);
${N} static long same(long x) { return x + 2; }
${N} long sleepy(long x) { schedule(); return same(x); }
${N} long deep(long x) { mutex_lock(&x); return 2 + sleepy(x); }
${N} long far(long x) { return 4 + sleepy(x); }
${N} static long waits(long x) { mutex_lock(&x); schedule(); return 3; }
${N} static long part_of_foo(long x) __asm__("foo.part.0");
static long part_of_foo(long x) { return x; }`,
};

const patchOf = (...names: string[]): { funcs: string } => ({
	funcs: `${names.map((name) => `{ .old_name = "${name}", .new_func = new_foo },`).join(" ")} { }`,
});

describe("a vmlinux with text", () => {
	const kernel = vmlinux(KERNEL);

	test("functions that are there, traced and unique have no finding; addresses and files are in the report", () => {
		const report = check(ko({ funcs: '{ .old_name = "same", .new_func = new_foo, .old_sympos = 2 }, { }' }), [kernel]);
		expect(report.findings).toEqual([]);
		const [func] = report.patches[0]!.objects[0]!.funcs;
		expect(func).toMatchObject({ oldFile: "second.c", oldAddress: expect.stringMatching(/^ffffffff81000/) });
		const first = check(ko({ funcs: '{ .old_name = "same", .new_func = new_foo, .old_sympos = 1 }, { }' }), [kernel]);
		expect(first.patches[0]!.objects[0]!.funcs[0]).toMatchObject({ oldFile: "first.c" });
		expect(report.lookedAt).toContain("call sites and code of vmlinux in vmlinux");
	});

	test.each([
		["symbol-missing", patchOf("fooo"), "livepatch: symbol 'fooo' not found in symbol table"],
		["symbol-ambiguous", patchOf("same"), "livepatch: unresolvable ambiguity for symbol 'same' in object '(null)'"],
		[
			"symbol-position",
			{ funcs: '{ .old_name = "same", .new_func = new_foo, .old_sympos = 3 }, { }' },
			"livepatch: symbol position 3 for symbol 'same' in object 'vmlinux' not found",
		],
		["no-call-site", patchOf("quiet"), "livepatch: failed to find location for function 'quiet'"],
		["same-address", { funcs: patchOf("foo.part.0", "foo", "also").funcs }, undefined],
		["clone-left", patchOf("foo"), undefined],
		["holds-up", patchOf("sleepy"), undefined],
	])("%s", (kind, options, dmesg) => {
		const { findings } = check(ko(options), [kernel]);
		expect(findings.map((finding) => [finding.kind, finding.dmesg])).toEqual([[kind, dmesg]]);
	});

	test.each([
		["sleepy", "the old function calls schedule(): sleeps until an event"],
		["deep", "the old function calls mutex_lock(): sleeps until a lock is free"],
		["waits", "the old function calls schedule(): sleeps until an event"],
		["far", "the old function calls sleepy() -> schedule(): sleeps until an event"],
	])("holds-up: %s", (name, what) => {
		expect(check(ko(patchOf(name)), [kernel]).findings).toMatchObject([{ kind: "holds-up", what }]);
	});

	test("an ambiguous name: the finding lists positions, addresses and files", () => {
		const [finding] = check(ko(patchOf("same")), [kernel]).findings;
		expect(finding?.what).toMatch(
			/^vmlinux has 2 'same': 1 is ffffffff8100\w+ of first.c, 2 is ffffffff8100\w+ of second.c$/,
		);
	});

	test("position-other-file: the replacement was made from the file of another position", () => {
		const sameOf = (sympos: number) => ({
			code: "static noinline long new_foo(long x) { return x; }",
			funcs: `{ .old_name = "same", .new_func = new_foo, .old_sympos = ${sympos} }, { }`,
			file: "second.c",
		});
		expect(kinds(check(ko(sameOf(1)), [kernel]))).toEqual(["position-other-file"]);
		expect(kinds(check(ko(sameOf(2)), [kernel]))).toEqual([]);
	});

	test("vermagic: with symbol versions the release does not count, the rest does", () => {
		const options = { ...patchOf("sleepy"), code: 'static const char v[64] SECTION("__versions") = "";' };
		const withMagic = (vermagic: string) => check(ko({ ...options, modinfo: { vermagic } }), [kernel]).findings;
		const other = withMagic(VERMAGIC.replace("6.12.117", "6.12.118"));
		expect(other.map(({ kind }) => kind)).toEqual(["holds-up", "other-kernel"]);
		const [finding] = withMagic(VERMAGIC.replace("SMP", "UP"));
		expect(finding).toMatchObject({
			kind: "vermagic",
			dmesg: `lp: version magic '${VERMAGIC.replace("SMP", "UP")}' should be '${VERMAGIC}'`,
		});
	});
});

test("a target module: positions count in the order of its symbol table, and call sites are looked at", () => {
	const target = compileC(
		`${N} static long a(long x) { return x + 1; } ${N} ${NOTRACE} long b(long x) { return a(x); }`,
	);
	const against = [{ name: "ext4.ko", bytes: target }];
	const lp = (name: string) =>
		ko({
			funcs: `{ .old_name = "${name}", .new_func = new_foo }, { }`,
			objs: '{ .name = "ext4", .funcs = funcs }, { }',
		});
	expect(kinds(check(lp("a"), against))).toEqual([]);
	expect(kinds(check(lp("b"), against))).toEqual(["no-call-site"]);
	expect(kinds(check(lp("c"), against))).toEqual(["symbol-missing"]);
	expect(check(lp("c"), against).findings[0]?.what).toBe(
		"ext4.ko has no 'c'; if ext4 is loaded after the livepatch, it is ext4 that is refused",
	);
	const without = check(lp("c"));
	expect(without.findings).toEqual([]);
	expect(without.notLookedAt).toContain("names and positions in ext4: give --against ext4.ko");
});

describe("System.map and kallsyms", () => {
	const MAP = [
		"ffffffff81000020 t same",
		"ffffffff81000000 T foo",
		"ffffffff81000010 t same",
		"0000000000000000 A fixed",
	];

	test("positions count by address", () => {
		const second = ko({ funcs: '{ .old_name = "same", .new_func = new_foo, .old_sympos = 2 }, { }' });
		const report = check(second, [textFile("System.map", MAP)]);
		expect(report.patches[0]!.objects[0]!.funcs[0]!.oldAddress).toBe("ffffffff81000020");
		expect(report.notLookedAt).toContain(
			"call sites and code of vmlinux: System.map has symbols only; give --against vmlinux",
		);
	});

	test("kallsyms has the symbols of modules, in the order of their tables", () => {
		const text = textFile("kallsyms", [...MAP, "ffffffffa0000040 t same\t[ext4]", "ffffffffa0000000 t same\t[ext4]"]);
		const lp = ko({
			funcs: '{ .old_name = "same", .new_func = new_foo, .old_sympos = 1 }, { }',
			objs: '{ .name = "ext4", .funcs = funcs }, { }',
		});
		expect(check(lp, [text]).patches[0]!.objects[0]!.funcs[0]!.oldAddress).toBe("ffffffffa0000040");
	});

	test.each([
		["all addresses are 0", ["0000000000000000 T foo"]],
		["is not 'ADDRESS TYPE NAME'", ["ffffffff81000000 T foo", "what is this"]],
		["this System.map has no symbols", ["ffffffffffffffff B The real System.map is in the linux-image-x-dbg package"]],
	])("%s: an error", (message, lines) => {
		expect(() => check(ko(), [textFile("System.map", lines)])).toThrow(message);
	});
});

describe("Module.symvers", () => {
	const line = (name: string, kind = "EXPORT_SYMBOL", namespace = "") =>
		`0x00000007\t${name}\tvmlinux\t${kind}\t${namespace}`;
	const usual = [line("__fentry__"), line("klp_enable_patch", "EXPORT_SYMBOL_GPL")];
	const USER = "void helper(void); noinline long new_foo(long x) { helper(); return x; }";

	test.each([
		["unknown-symbol", usual, "lp: Unknown symbol helper (err -2)"],
		[
			"symbol-namespace",
			[...usual, line("helper", "EXPORT_SYMBOL", "PRIVATE")],
			"lp: module uses symbol (helper) from namespace PRIVATE, but does not import it.",
		],
	])("%s", (kind, lines, dmesg) => {
		const { findings } = check(ko({ code: USER }), [textFile("Module.symvers", lines)]);
		expect(findings.map((finding) => [finding.kind, finding.dmesg])).toEqual([[kind, dmesg]]);
	});

	test("a line that is none is an error, with its number", () => {
		const lines = [...usual, "0x7\tshort"];
		expect(() => check(ko(), [textFile("Module.symvers", lines)])).toThrow(
			"Module.symvers:3: '0x7\tshort' is not '0xCRC name module EXPORT_SYMBOL'",
		);
	});

	test("without it, the entries of the symbol table say what is exported, and to whom", () => {
		const entries = ["__fentry__", "klp_enable_patch", "helper"].map(
			(name, at) => `ffffffff8200000${at} r __ksymtab_${name}`,
		);
		const gpl = ["ffffffff82000002 R __start___ksymtab_gpl", "ffffffff82000003 R __stop___ksymtab_gpl"];
		const found = (lines: readonly string[], license = "GPL") => {
			const map = textFile("System.map", ["ffffffff81000000 T foo", ...lines]);
			const { findings } = check(ko({ code: USER, modinfo: { license } }), [map]);
			return findings.filter(({ kind }) => kind === "unknown-symbol").map(({ what }) => what);
		};
		expect(found([...entries, ...gpl])).toEqual([]);
		expect(found(entries.slice(0, 2))).toEqual(["'helper' is not exported by the given kernel"]);
		expect(found([...entries, ...gpl], "Proprietary")).toEqual(["'helper' is exported to GPL modules only"]);
		expect(found(entries, "Proprietary")).toEqual([]);
	});

	test("exported symbols and imported namespaces are no findings", () => {
		const lines = [...usual, line("helper", "EXPORT_SYMBOL", "PRIVATE")];
		const file = ko({ code: USER, modinfo: { import_ns: "PRIVATE" } });
		expect(check(file, [textFile("Module.symvers", lines)]).findings).toEqual([]);
	});

	test("symbol-version: the checksum in __versions is another one", () => {
		const versions = (crc: number) =>
			`static const struct { u64 crc; char name[56]; } v SECTION("__versions") = { ${crc}, "__fentry__" };`;
		const symvers = textFile("Module.symvers", usual);
		expect(check(ko({ code: versions(7) }), [symvers]).findings).toEqual([]);
		expect(check(ko({ code: versions(8) }), [symvers]).findings).toMatchObject([
			{ kind: "symbol-version", errno: "-EINVAL", dmesg: "lp: disagrees about version of symbol __fentry__" },
		]);
	});
});

describe("the layout of the kernel", () => {
	const other = (changes: Readonly<Record<string, number>>): KernelLayout =>
		new KernelLayout(
			"6.12.99-other",
			new Map([...layout.entries, ...Object.entries(changes).map(([name, value]) => [name, BigInt(value)] as const)]),
		);

	test("this-module-size, vermagic: with the core of another kernel", () => {
		const core = other({ "sizeof(struct module)": 1344 });
		const { findings } = checkModule(ko(), { layout: core, exactLayout: true, against: [] });
		expect(findings.map(({ kind, errno }) => [kind, errno])).toEqual([
			["this-module-size", "-ENOEXEC"],
			["vermagic", "-ENOEXEC"],
		]);
		expect(check(ko(), [], true).findings).toEqual([]);
	});

	test("a layout that does not fit is an error, not a wrong answer", () => {
		const core = other({ "sizeof(struct klp_func)": 144 });
		expect(() => checkModule(ko(), { layout: core, exactLayout: false, against: [] })).toThrow(
			"'funcs' is not an array of elements of 144 bytes",
		);
	});
});

test.each([
	["a compressed kernel image", Uint8Array.from({ length: 0x300 }, (_, at) => "HdrS".charCodeAt(at - 0x202) || 0)],
	["a compressed file", Uint8Array.of(0x1f, 0x8b, 8, 0)],
])("--against %s is an error", (message, bytes) => {
	expect(() => check(ko(), [{ name: "vmlinuz", bytes }])).toThrow(message);
});
