/** Findings in relocations: those of the module loader, and those that livepatch applies. */
import { describe, expect, test } from "vitest";
import { editElf } from "./edit-elf.js";
import { ALLOC, klpKo, LIVEPATCH, user, VMLINUX_SECTION } from "./klp-ko.js";
import { check, kinds, ko, textFile } from "./ko.js";

const EXT4 = { objs: '{ .name = "ext4", .funcs = funcs }, { }' };
const EXT4_SECTION = ".klp.rela.ext4..text.new_foo";

test("livepatch relocations that are right have no finding, and are in the report", () => {
	const report = check(klpKo("vmlinux.bar,2", VMLINUX_SECTION));
	expect(report.findings).toEqual([]);
	expect(report.patches[0]?.objects[0]).toMatchObject({ relocations: 1, symbols: ["vmlinux.bar,2"] });
	expect(check(klpKo("ext4.bar,0", EXT4_SECTION, EXT4)).findings).toEqual([]);
});

describe("livepatch relocations", () => {
	test.each<[kind: string, file: () => ReturnType<typeof klpKo>, dmesg: string | undefined]>([
		[
			"klp-rela-name",
			() => klpKo("vmlinux.bar,0", ".rela.livepatch"),
			"livepatch: section .rela.livepatch has an incorrectly formatted name",
		],
		[
			"klp-sym-unmarked",
			() => klpKo("vmlinux.bar,0", VMLINUX_SECTION, {}, (elf) => elf.moveSymbols(".klp.sym.", 0xfff1)),
			"livepatch: symbol .klp.sym.vmlinux.bar,0 is not marked as a livepatch symbol",
		],
		[
			"klp-sym-format",
			() => klpKo("vmlinux.bar", VMLINUX_SECTION),
			"livepatch: symbol .klp.sym.vmlinux.bar has an incorrectly formatted name",
		],
		[
			"klp-sym-converter",
			() => klpKo("rela.lp.vmlinux.bar,0", VMLINUX_SECTION),
			"livepatch: symbol 'lp.vmlinux.bar' not found in symbol table",
		],
		[
			"klp-sym-vmlinux",
			() => klpKo("vmlinux.bar,0", EXT4_SECTION, EXT4),
			"livepatch: invalid access to vmlinux symbol 'bar' from module-specific livepatch relocation section",
		],
		[
			"klp-rela-not-alloc",
			() => klpKo("ext4.bar,0", EXT4_SECTION, EXT4, (elf) => (elf.section(EXT4_SECTION).flags &= ~ALLOC)),
			undefined,
		],
		["klp-rela-no-object", () => klpKo("ext4.bar,0", EXT4_SECTION), undefined],
		["klp-sym-other-object", () => klpKo("jbd2.bar,0", EXT4_SECTION, EXT4), undefined],
		["klp-rela-section", () => klpKo("vmlinux.bar,0", ".klp.rela.vmlinux..text"), undefined],
		[
			"klp-rela-other-object",
			() =>
				klpKo("ext4.bar,0", EXT4_SECTION, {
					more: 'static struct klp_func others[] = { { .old_name = "bar", .new_func = bar2 }, { } };',
					code: `${user("ext4.bar,0")} noinline long bar2(long x) { return x; }`,
					objs: '{ .funcs = funcs }, { .name = "ext4", .funcs = (struct klp_func[]) { { .old_name = "bar", .new_func = bar2 }, { } } }, { }',
				}),
			undefined,
		],
	])("%s", (kind, file, dmesg) => {
		const report = check(file());
		expect(kinds(report)).toEqual([kind]);
		expect(report.findings[0]?.dmesg).toBe(dmesg);
	});

	test("klp-rela-unflagged: an ordinary relocation of a livepatch symbol, too", () => {
		const file = klpKo("vmlinux.bar,0", VMLINUX_SECTION, {}, (elf) => {
			elf.section(VMLINUX_SECTION).flags &= ~LIVEPATCH;
		});
		expect(kinds(check(file))).toEqual(["klp-rela-unflagged", "reloc-klp-symbol"]);
	});

	test("klp-sym-missing: names and positions are looked up with --against", () => {
		const map = textFile("System.map", ["ffffffff81000010 t bar", "ffffffff81000000 t bar", "ffffffff81000020 T foo"]);
		const second = check(klpKo("vmlinux.bar,2", VMLINUX_SECTION), [map]);
		expect(kinds(second)).toEqual([]);
		for (const [symbol, dmesg] of [
			["bar,3", "livepatch: symbol position 3 for symbol 'bar' in object 'vmlinux' not found"],
			["bar,0", "livepatch: unresolvable ambiguity for symbol 'bar' in object '(null)'"],
			["baz,0", "livepatch: symbol 'baz' not found in symbol table"],
		]) {
			const { findings } = check(klpKo(`vmlinux.${symbol}`, VMLINUX_SECTION), [map]);
			expect(findings.map(({ kind, errno, dmesg }) => [kind, errno, dmesg])).toEqual([
				["klp-sym-missing", "-EINVAL", dmesg],
			]);
		}
	});

	test("unconverted-symbol: klp-convert has not run", () => {
		const report = check(ko({ code: user("vmlinux.bar,0") }));
		expect(report.findings).toMatchObject([
			{ kind: "unconverted-symbol", errno: "-ENOENT", dmesg: "lp: Unknown symbol .klp.sym.vmlinux.bar,0 (err -2)" },
		]);
	});

	test("kpatch-intermediate: a section of the build is left", () => {
		const code = 'static const char left[] SECTION(".kpatch.relocations") = "x";';
		expect(kinds(check(ko({ code })))).toEqual(["kpatch-intermediate"]);
		expect(kinds(check(ko({ code: code.replace(".kpatch", ".other") })))).toEqual([]);
	});
});

describe("relocations of the module loader", () => {
	test("relocation-type: the kernel does not know R_X86_64_GOTPCREL", () => {
		const code = "extern long far; noinline long new_foo(long x) { return x + (long) &far; }";
		const report = check(ko({ code, flags: ["-fpic", "-mcmodel=small"] }));
		expect(new Set(kinds(report))).toContain("relocation-type");
		expect(report.findings[0]?.dmesg).toMatch(/^lp: Unknown rela relocation: (9|41|42)$/);
		expect(kinds(check(ko({ code })))).toEqual([]);
	});

	test("relocation-nonzero: the place is not zero", () => {
		const { name, bytes } = ko();
		const changed = editElf(bytes, (elf) => elf.data(".data").fill(1, 0, 1));
		const { findings } = check({ name, bytes: changed });
		expect(findings).toMatchObject([
			{ kind: "relocation-nonzero", errno: "-ENOEXEC", what: "the place of a relocation is not zero" },
		]);
	});
});
