import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { linkImage, parseElf } from "../../src/elf/index.js";
import { Memory, PERM } from "../../src/memory/index.js";
import { LONG } from "../support/sample.js";
import { KERNEL_CORE, NO_KERNEL_CORE, skipBecause } from "../support/skip.js";
import { ALLOC, buildObject, DATA, type SectionSpec, TEXT } from "./objects.js";

const BASE = -0x7f000000;
const REST = -0x40000000;

/** Loads an object and asks for all that an image knows. Anything but a KlpemuError is a failure of ours. Returns the code, or "ok". */
function outcome(bytes: Uint8Array, size = 1 << 17): string {
	const memory = new Memory({ bytes: size });
	memory.map("rest", REST, 4096, PERM.READ | PERM.WRITE);
	try {
		const objects = [parseElf(bytes, "damaged.ko")];
		const resolve = (name: string) => (name.startsWith("__SCK__") ? undefined : REST);
		const image = linkImage({ name: "m", objects, base: BASE, memory, resolve, percpu: { offset: 0x40, end: 4096 } });
		try {
			image.finalize();
		} catch (error) {
			image.unload();
			throw error;
		}
		for (let at = BASE; at < image.end; at += 61) {
			image.findRow(at);
			image.symbolAt(at);
		}
		for (const { code } of image.jumpEntries) image.bugEntry(code);
		image.unload();
		return "ok";
	} catch (error) {
		if (error instanceof KlpemuError) return error.code;
		throw error;
	} finally {
		expect(memory.regions).toHaveLength(1);
		memory.close();
	}
}

const PC32 = 2;
type Relocations = NonNullable<SectionSpec["relocations"]>;

/** An object with an entry in each table that is applied or read. */
function everyTable(late = false): Uint8Array {
	const text = new Uint8Array(256).fill(0x90);
	text.set([0x0f, 0x1f, 0x44, 0, 0], 0); // jump label
	text.set([0xe8, 0, 0, 0, 0], 16); // static call
	text.set([0xe9, 0, 0, 0, 0], 32); // return
	text.set([0xe8, 0, 0, 0, 0], 48); // retpoline
	text.set([0x31, 0xc0, 0x90, 0x90, 0x90], 64); // alternative
	text.set([0x0f, 0x0b], 80); // bug
	const at = (offset: number, addend: number, symbol = ".text", type = PC32) => ({ offset, type, symbol, addend });
	const table = (
		name: string,
		size: number,
		relocations: Relocations,
		bytes: Readonly<Record<number, number>> = {},
	) => {
		const data = new Uint8Array(size);
		for (const [offset, value] of Object.entries(bytes)) data[Number(offset)] = value;
		return { name, data, flags: DATA, align: 8, relocations };
	};
	const sections: SectionSpec[] = [
		{
			...{ name: ".text", data: text, flags: TEXT },
			relocations: [at(33, -4, "__x86_return_thunk", 4), at(49, -4, "__x86_indirect_thunk_r11", 4)],
		},
		{
			...{
				name: ".altinstr_replacement",
				data: Uint8Array.of(0xe9, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0),
				flags: TEXT,
				align: 1,
			},
			relocations: [at(1, 96), at(6, -4, "outside", 4)],
		},
		table(".data", 64, [at(16, 128, ".text", 1)]),
		table(".data..percpu", 32, [at(8, 8, ".data..percpu", 1)]),
		table("__mcount_loc", 16, [at(0, 128, ".text", 1), at(8, 136, ".text", 1)]),
		table("__patchable_function_entries", 8, [at(0, 112, ".text", 1)]),
		table("__jump_table", 16, [at(0, 0), at(4, 100), at(8, 2, ".data", 24)]),
		table(".static_call_sites", 8, [at(0, 16), at(4, 16, ".data")]),
		table(".return_sites", 4, [at(0, 32)]),
		table(".retpoline_sites", 4, [at(0, 48)]),
		table(
			".altinstructions",
			28,
			[at(0, 64), at(4, 0, ".altinstr_replacement"), at(14, 64), at(18, 5, ".altinstr_replacement")],
			{ 8: 117, 12: 5, 13: 5, 22: 117, 26: 5, 27: 5 },
		),
		table("__bug_table", 12, [at(0, 80), at(4, 0, ".data")], { 8: 7, 10: 3 }),
		table("__ex_table", 12, [at(0, 64), at(4, 80)], { 8: 17, 9: 3 }),
		table(".orc_unwind_ip", 12, [at(0, 0), at(4, 128), at(8, 256)]),
		{
			name: ".orc_unwind",
			data: Uint8Array.of(8, 0, 0, 0, 5, 2, 16, 0, 0xf0, 0xff, 0x15, 2, 0, 0, 0, 0, 0, 0),
			flags: ALLOC,
			align: 2,
		},
	];
	const own = [".text", ".altinstr_replacement", ".data", ".data..percpu"];
	if (late) {
		const relocations = [at(8, 0, ".klp.sym.vmlinux.key,0", 1)];
		sections.push({ ...table(".klp_data", 16, relocations), klpRela: ".klp.rela.vmlinux..klp_data" });
	}
	return buildObject(sections, [
		...(late ? [{ name: ".klp.sym.vmlinux.key,0", section: "livepatch" }] : []),
		...own.map((name) => ({ name, section: name, binding: 0, type: 3 })),
		{ name: "f", section: ".text", size: 256 },
		...["outside", "__x86_return_thunk", "__x86_indirect_thunk_r11"].map((name) => ({ name, section: "undef" })),
	]);
}

function survives(bytes: Uint8Array, numRuns: number, size?: number): ReadonlyMap<string, number> {
	const codes = new Map<string, number>();
	const change = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255));
	fc.assert(
		fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
			const copy = Uint8Array.from(bytes);
			for (const [offset, value] of changes) copy[offset] = value;
			const code = outcome(copy, size);
			codes.set(code, (codes.get(code) ?? 0) + 1);
		}),
		{ numRuns, seed: 13 },
	);
	return codes;
}

describe("damaged kernel objects end in an error of ours, or load", () => {
	const bytes = everyTable();

	it("whatever four bytes change in an object with every table", () => {
		expect(outcome(bytes)).toBe("ok");
		const codes = survives(bytes, LONG ? 2000 : 400);
		// The damage reaches what this is about.
		for (const code of ["ok", "ELF_BAD_TABLE", "ELF_BAD_ORC", "ELF_BAD_RELOCATION", "ELF_BAD_SECTION"]) {
			expect([code, codes.has(code)]).toEqual([code, true]);
		}
	});

	it("whatever four bytes change in one with livepatch relocations", () => {
		const late = everyTable(true);
		expect(outcome(late)).toBe("ok");
		expect([...survives(late, LONG ? 500 : 200).keys()]).toEqual(expect.arrayContaining(["ok", "ELF_BAD_TABLE"]));
	});

	it("each byte of its sections set to 0xff", () => {
		// test/elf/parse.test.ts has the same for the headers.
		const end = Number(new DataView(bytes.buffer).getBigUint64(40, true));
		for (let offset = 64; offset < end; offset += LONG ? 1 : 11) {
			const copy = Uint8Array.from(bytes);
			copy[offset] = 0xff;
			outcome(copy);
		}
	});

	it("whatever four bytes change in the kernel's own livepatch core", ({ skip }) => {
		if (!existsSync(KERNEL_CORE)) skipBecause(skip, NO_KERNEL_CORE);
		const core = readFileSync(KERNEL_CORE);
		expect(outcome(core, 1 << 20)).toBe("ok");
		survives(core, LONG ? 60 : 20, 1 << 20);
	});
});
