import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { linkImage, parseElf } from "../../src/elf/index.js";
import { KNOWN_SECTIONS, knownSection } from "../../src/elf/section-names.js";
import { Memory } from "../../src/memory/index.js";
import { buildObject, DATA, failure, type SectionSpec } from "./objects.js";

const BASE = -0x7f000000;

function load(...sections: readonly SectionSpec[]) {
	const memory = new Memory({ bytes: 1 << 20 });
	const bytes = buildObject(sections, [
		{ name: "nowhere", section: "undef" },
		{ name: "note", section: sections[0]!.name, type: 1, binding: 0 },
	]);
	const objects = [parseElf(bytes, "a.o")];
	return linkImage({ name: "m", objects, base: BASE, memory, resolve: () => undefined });
}

const section = (name: string, relocations: SectionSpec["relocations"] = []): SectionSpec => ({
	...{ name, data: new Uint8Array(8), flags: DATA, relocations },
});

describe("sections with a meaning for the kernel's module loader", () => {
	it.each([
		[".parainstructions", "paravirtual calls"],
		["__tracepoints_ptrs", "tracepoints"],
		["__trace_printk_fmt", "formats of trace_printk()"],
		[".kunit_test_suites", "KUnit tests"],
		[".init_array", "constructors"],
		[".ctors.65535", "constructors"],
		[".initcall6.init", "initcalls"],
		[".klp.arch.vmlinux..altinstructions", "livepatch data of a form that is not known"],
		[".klp.rela.vmlinux..text", "livepatch data of a form that is not known"],
		[".kpatch.relocations", "relocations of a livepatch that is not finished"],
		["__klp_relocs.vmlinux", "relocations of a livepatch that is not finished"],
	])("%s is refused by name, with what to do", (name, holds) => {
		const error = failure(() => load(section(name)));
		expect([error.code, error.where]).toEqual(["ELF_SPECIAL_SECTION", "a.o"]);
		expect(error.reason).toBe(`section '${name}' (${holds}) is not supported`);
		expect(error.hint).toBe(knownSection(name)!.why);
		expect(load({ ...section(name), data: new Uint8Array(0) }, section(".data")).regions).toHaveLength(1);
	});

	it.each([".discard.addressable", ".discard", ".export_symbol"])("%s is not loaded", (name) => {
		const image = load(section(name, [{ offset: 0, type: 1, symbol: "nowhere" }]));
		expect(image.regions).toEqual([]);
		expect(image.symbols).toEqual([]);
	});

	it.each([".smp_locks", ".call_sites", ".ibt_endbr_seal", "__versions", ".BTF", ".note.Linux", "__kcrctab_gpl"])(
		"%s is loaded, and changes nothing",
		(name) => {
			expect(load(section(name)).sections(name)).toMatchObject([{ size: 8 }]);
			expect(knownSection(name)?.use).toBe("ignored");
		},
	);

	it("are each in one row of the table, which names the file that uses them", () => {
		const names = KNOWN_SECTIONS.map(({ names: own }) => own).filter((own) => typeof own === "string");
		for (const name of names) expect(knownSection(name)?.names).toBe(name);
		for (const { use, why } of KNOWN_SECTIONS) {
			if (use !== "applied" && use !== "read") continue;
			const [file] = why.split(",");
			const path = file!.includes("/") ? `../../src/${file}` : `../../src/elf/${file}`;
			expect([why, existsSync(new URL(path, import.meta.url))]).toEqual([why, true]);
		}
		for (const plain of [".text", ".data..ro_after_init", ".init.text", "toString"])
			expect(knownSection(plain)).toBeUndefined();
	});
});
