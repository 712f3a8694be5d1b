import { describe, expect, it } from "vitest";
import { linkImage, type PerCpuRoom, parseElf } from "../../src/elf/index.js";
import { Memory, PERM } from "../../src/memory/index.js";
import { buildObject, DATA, failure, type SectionSpec, type SymbolSpec, TEXT } from "./objects.js";

const BASE = -0x7f000000;
const ROOM = { offset: 0x44, end: 0x1000 };
/** mov %gs:counter(%rip),%rax: the displacement is at 4. */
const LOAD = Uint8Array.from([0x65, 0x48, 0x8b, 0x05, 0, 0, 0, 0, 0xc3]);

const SECTIONS: readonly SectionSpec[] = [
	{ name: ".text", data: LOAD, flags: TEXT, relocations: [{ offset: 4, type: 2, symbol: "counter", addend: -4 }] },
	{
		name: ".data..percpu",
		data: Uint8Array.from({ length: 24 }, (_, i) => i + 1),
		flags: DATA,
		align: 16,
		relocations: [{ offset: 16, type: 1, symbol: "f" }],
	},
	{ name: ".data..percpu..read_mostly", data: new Uint8Array(8), flags: DATA, align: 32 },
	{
		name: ".data",
		data: new Uint8Array(8),
		flags: DATA,
		relocations: [{ offset: 0, type: 1, symbol: "counter", addend: 2 }],
	},
];
const SYMBOLS: readonly SymbolSpec[] = [
	{ name: "f", section: ".text", size: 9 },
	{ name: "counter", section: ".data..percpu", value: 8, size: 8, type: 1 },
	{ name: "this_cpu_off", section: ".data..percpu..read_mostly", size: 8, type: 1 },
];

function load(percpu: PerCpuRoom | undefined, sections = SECTIONS, symbols = SYMBOLS) {
	const memory = new Memory({ bytes: 1 << 20 });
	const objects = [parseElf(buildObject(sections, symbols), "a.o")];
	const options = { name: "m", objects, base: BASE, memory, resolve: () => undefined };
	return { memory, image: linkImage(percpu === undefined ? options : { ...options, percpu }) };
}

describe("per-CPU variables", () => {
	it("[rule 10.11] are symbols whose value is the offset in the CPU's area, from the given one on, aligned", () => {
		const { memory, image } = load(ROOM);
		expect(image.symbol("counter")).toMatchObject({ address: 0x50 + 8, size: 8 });
		expect(image.symbol("this_cpu_off")).toMatchObject({ address: 0x80 });
		expect(image.percpu!.symbols.map(({ name }) => name)).toEqual(["counter", "this_cpu_off"]);
		// gs:counter(%rip)
		expect((BASE + 8 + memory.i32(BASE + 4)) | 0).toBe(0x58);
		expect(memory.u64(image.sections(".data")[0]!.address)).toBe(0x5an);
	});

	it("[rule 10.11] have initial values in one block, relocated, for the host to copy", () => {
		const { image } = load(ROOM);
		const { offset, data } = image.percpu!;
		expect([offset, data.length]).toEqual([0x44, 0x88 - 0x44]);
		expect([...data.subarray(0x50 - 0x44, 0x60 - 0x44)]).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
		const view = new DataView(data.buffer, data.byteOffset);
		expect(view.getBigInt64(0x60 - 0x44, true)).toBe(BigInt(BASE));
	});

	it("have no address: no symbol of the image is at their offset, and the image does not write to them", () => {
		const { memory, image } = load(ROOM);
		expect(image.symbols.map(({ name }) => name)).toEqual(["f"]);
		expect(image.symbolAt(0x58)).toBeUndefined();
		expect(memory.permissions(image.sections(".data..percpu")[0]!.address)).toBe(PERM.READ);
		expect(load(ROOM, [SECTIONS[3]!], [{ ...SYMBOLS[1]!, section: ".data", value: 0 }]).image.percpu).toBeUndefined();
	});

	it("are refused without room for them, with the numbers", () => {
		const error = failure(() => load(undefined));
		expect([error.code, error.where]).toEqual(["ELF_SPECIAL_SECTION", "a.o"]);
		const full = failure(() => load({ offset: 0x44, end: 0x84 }));
		expect(full.code).toBe("ELF_NO_SPACE");
		expect(full.reason).toBe(
			"section '.data..percpu..read_mostly' (8 bytes) does not fit into the per-CPU area: 0x80 to 0x84 of it are free",
		);
	});

	it("cannot hold values that depend on their own address, or wait for a livepatch relocation", () => {
		const change = (relocations: NonNullable<SectionSpec["relocations"]>, klpRela?: string) =>
			SECTIONS.map((section, index) =>
				index === 1 ? { ...section, relocations, ...(klpRela === undefined ? {} : { klpRela }) } : section,
			);
		const relative = failure(() => load(ROOM, change([{ offset: 4, type: 2, symbol: "f" }])));
		expect(relative.code).toBe("ELF_BAD_RELOCATION");
		expect(relative.reason).toContain(
			"section '.data..percpu' offset 0x4: R_X86_64_PC32 to 'f' cannot be in a per-CPU",
		);
		const late = failure(() =>
			load(
				ROOM,
				change([{ offset: 0, type: 1, symbol: ".klp.sym.mod.f,0" }], ".klp.rela.mod..data..percpu"),
				SYMBOLS.concat({ name: ".klp.sym.mod.f,0", section: "livepatch" }),
			),
		);
		expect(late.reason).toContain("section '.klp.rela.mod..data..percpu' (livepatch relocations of per-CPU variables)");
	});
});
