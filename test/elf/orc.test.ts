import { describe, expect, it } from "vitest";
import { linkImage, parseElf, type UnwindRow } from "../../src/elf/index.js";
import { Memory } from "../../src/memory/index.js";
import { ALLOC, buildObject, failure, type SectionSpec, TEXT } from "./objects.js";

const BASE = -0x7f000000;
const RDX = 2;
const RSP = 4;
const RBP = 5;
const SIZE = 64;

const REG = { undefined: 0, prevSp: 1, dx: 2, di: 3, bp: 4, sp: 5, r10: 6, r13: 7, bpIndirect: 8, spIndirect: 9 };
const TYPE = { undefined: 0, end: 1, call: 2, regs: 3, partial: 4 };

interface Entry {
	/** Offset in .text. */
	readonly at: number;
	readonly sp?: readonly [register: number, offset: number];
	readonly bp?: readonly [register: number, offset: number];
	readonly type: number;
	readonly signal?: boolean;
	/** Bits that have no meaning. */
	readonly rest?: number;
}

/** The two sections for a text of 64 bytes, as objtool writes them: addresses relative to themselves, relocated. */
function orc(entries: readonly Entry[], text = ".text"): SectionSpec[] {
	const data = new Uint8Array(6 * entries.length);
	const view = new DataView(data.buffer);
	for (const [i, { sp = [REG.undefined, 0], bp = [REG.undefined, 0], type, signal, rest = 0 }] of entries.entries()) {
		view.setInt16(6 * i, sp[1], true);
		view.setInt16(6 * i + 2, bp[1], true);
		view.setUint16(6 * i + 4, sp[0] | (bp[0] << 4) | (type << 8) | (signal ? 0x800 : 0) | (rest << 12), true);
	}
	const relocations = entries.map(({ at }, i) => ({ offset: 4 * i, type: 2, symbol: text, addend: at }));
	return [
		{ name: ".orc_unwind_ip", data: new Uint8Array(4 * entries.length), flags: ALLOC, align: 4, relocations },
		{ name: ".orc_unwind", data, flags: ALLOC, align: 2 },
	];
}

const text = (name = ".text"): SectionSpec => ({ name, data: new Uint8Array(SIZE).fill(0x90), flags: TEXT });

function load(sections: readonly SectionSpec[], ...others: (readonly SectionSpec[])[]) {
	const memory = new Memory({ bytes: 1 << 20 });
	const objects = [sections, ...others].map((own, i) => {
		const symbols = own
			.filter(({ name }) => name.startsWith(".text"))
			.map(({ name }) => ({ name, section: name, binding: 0, type: 3 }));
		return parseElf(buildObject(own, symbols), `${"abc"[i]}.o`);
	});
	return linkImage({ name: "m", objects, base: BASE, memory, resolve: () => undefined });
}

/** The row of a text with this one entry. */
const row = (entry: Omit<Entry, "at">): UnwindRow | undefined =>
	load([text(), ...orc([{ at: 0, ...entry }])]).findRow(BASE);

const CALL: Entry = { at: 0, sp: [REG.sp, 8], type: TYPE.call };
const call = { cfaRegister: RSP, cfaOffset: 8, raOffset: -8, signal: false, saved: [], preserves: 0x30 };

describe(".orc_unwind", () => {
	it("has rows up to the next address; padding and the end of the section have none", () => {
		const image = load([
			text(),
			...orc([
				{ at: 16, sp: [REG.sp, 8], type: TYPE.call },
				{ at: 18, sp: [REG.sp, 16], type: TYPE.call, bp: [REG.prevSp, -16] },
				{ at: 30, type: TYPE.undefined },
				{ at: 48, sp: [REG.bp, 16], type: TYPE.call, bp: [REG.prevSp, -16] },
				{ at: SIZE, type: TYPE.undefined },
			]),
		]);
		const offsets = (wanted: object) =>
			Array.from({ length: SIZE }, (_, at) => at).filter(
				(at) => JSON.stringify(image.findRow(BASE + at)) === JSON.stringify(wanted),
			);
		expect(image.findRow(BASE + 17)).toEqual(call);
		expect(image.findRow(BASE + 18)).toEqual({ ...call, cfaOffset: 16, saved: [{ register: RBP, offset: -16 }] });
		expect(image.findRow(BASE + 50)).toMatchObject({ cfaRegister: RBP, cfaOffset: 16 });
		expect(offsets(image.findRow(BASE + 18)!)).toEqual(Array.from({ length: 12 }, (_, i) => 18 + i));
		for (const none of [0, 15, 30, 47, SIZE]) expect(image.findRow(BASE + none)).toBeUndefined();
		expect(image.findRow(BASE - 1)).toBeUndefined();
	});

	it("[rule 10.2] is sorted by address, as the kernel sorts a module's; the end of a section goes before what begins there", () => {
		const sections = [".text", ".text.unlikely"].map(text);
		const [ips, entries] = orc([
			{ ...CALL, at: SIZE },
			{ at: SIZE, type: TYPE.undefined },
			{ at: 2 * SIZE, type: TYPE.undefined },
			{ ...CALL, sp: [REG.sp, 24], at: 8 },
			{ ...CALL, at: 0 },
		]);
		const image = load([...sections, ips!, entries!]);
		const cfa = [0, 7, 8, SIZE - 1, SIZE, 2 * SIZE - 1].map((at) => image.findRow(BASE + at)?.cfaOffset);
		expect(cfa).toEqual([8, 8, 24, 24, 8, 8]);
	});

	it.each([
		["an end of the stack", { type: TYPE.end }, { raOffset: undefined }],
		["a caller's frame from bp", { sp: [REG.bp, 16], type: TYPE.call }, { cfaRegister: RBP, cfaOffset: 16 }],
		["bp below another bp", { sp: [REG.r10, 0], bp: [REG.bp, 0], type: TYPE.call }, { cfaRegister: 10, cfaOffset: 0 }],
		["dx", { sp: [REG.dx, 0], type: TYPE.call }, { cfaRegister: RDX }],
		["di", { sp: [REG.di, 0], type: TYPE.call }, { cfaRegister: 7 }],
		["r13", { sp: [REG.r13, 0], type: TYPE.call }, { cfaRegister: 13 }],
		["an address in the frame", { sp: [REG.bpIndirect, -8], type: TYPE.call }, { cfaOffset: -8, cfaLoad: 0 }],
		["an address on the stack", { sp: [REG.spIndirect, 16], type: TYPE.call }, { cfaOffset: 0, cfaLoad: 16 }],
		["a signal frame", { sp: [REG.sp, 8], type: TYPE.call, signal: true }, { signal: true }],
	] as const)("knows %s", (_what, entry, expected) => {
		expect(row(entry)).toMatchObject(expected);
	});

	it("knows all registers behind pt_regs, and only sp behind the frame of iret", () => {
		const full = row({ sp: [REG.sp, 8], type: TYPE.regs, signal: true })!;
		// pt_regs lie from rsp + 8 on; r15 comes first, ss last.
		expect(full).toMatchObject({ cfaRegister: RSP, cfaOffset: 8 + 168, raOffset: 128 - 168, csOffset: 136 - 168 });
		expect(full.saved).toHaveLength(16);
		expect(full.saved).toContainEqual({ register: 15, offset: -168 });
		expect(full.saved).toContainEqual({ register: RBP, offset: 32 - 168 });
		expect(full.saved).toContainEqual({ register: 7, offset: 112 - 168 });
		expect(full.saved).toContainEqual({ register: RSP, offset: 152 - 168 });
		const partial = row({ sp: [REG.sp, 0], bp: [REG.prevSp, -8], type: TYPE.partial, signal: true })!;
		expect(partial).toMatchObject({ cfaOffset: 40, raOffset: -40, csOffset: -32, preserves: 0xffff });
		expect(partial.saved).toEqual([
			{ register: RSP, offset: -16 },
			{ register: RBP, offset: -48 },
		]);
		const indirect = row({ sp: [REG.spIndirect, 8], type: TYPE.regs })!;
		expect(indirect).toMatchObject({ cfaOffset: 0, cfaLoad: 8 + 168 });
	});

	it("counts alone in its object, and .eh_frame in the others", () => {
		// A CIE and an FDE for 64 bytes: CFA = rsp + 8, return address there.
		const frame = [20, 0, 0, 0, 0, 0, 0, 0, 1, 0x7a, 0x52, 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0];
		const data = Uint8Array.from([...frame, 16, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, SIZE, 0, 0, 0, 0, 0, 0, 0]);
		const relocations = [{ offset: 32, type: 2, symbol: ".text", addend: 0 }];
		const ehFrame: SectionSpec = { name: ".eh_frame", data, flags: ALLOC, relocations };
		const both = [text(), ehFrame, ...orc([{ ...CALL, at: 8 }])];
		const image = load([text(), ehFrame], both, [text()]);
		expect(image.findRow(BASE + 4)).toMatchObject({ cfaOffset: 8 });
		expect(image.findRow(BASE + SIZE + 4)).toBeUndefined();
		expect(image.findRow(BASE + SIZE + 8)).toEqual(call);
		expect(image.findRow(BASE + 2 * SIZE)).toBeUndefined();
	});

	it("gives no row of one object to the text of another, where the table has no end", () => {
		const image = load([text(), ...orc([CALL])], [text(), ...orc([{ ...CALL, at: 8 }])]);
		expect([SIZE - 1, SIZE + 7, SIZE + 8].map((at) => image.findRow(BASE + at) !== undefined)).toEqual([
			true,
			false,
			true,
		]);
	});

	it.each([
		["a type", { ...CALL, type: 5 }, "section '.orc_unwind' offset 0x6: the type 5 is not known"],
		[
			"a base",
			{ ...CALL, sp: [10, 8] },
			"section '.orc_unwind' offset 0x6: the register 10 is no base of the caller's sp",
		],
		["no base", { at: 0, type: TYPE.call }, "offset 0x6: the register 0 is no base of the caller's sp"],
		["a base of bp", { ...CALL, bp: [REG.r10, 8] }, "offset 0x6: the register 6 is no base of the caller's bp"],
		["other bits", { ...CALL, rest: 1 }, "offset 0x6: bits 12 to 15 of the entry are 0x1, not 0"],
		[
			"an address behind",
			{ ...CALL, at: SIZE + 1 },
			"'.orc_unwind_ip' offset 0x4: 0xffffffff81000041 is not in the text",
		],
		["an address before", { ...CALL, at: -1 }, "'.orc_unwind_ip' offset 0x4: 0xffffffff80ffffff is not in the text"],
	] as const)("refuses %s that is not known, with the place", (_what, entry, message) => {
		const error = failure(() => load([text(), ...orc([CALL, entry])]));
		expect([error.code, error.where]).toEqual(["ELF_BAD_ORC", "a.o"]);
		expect(error.reason).toContain(message);
	});

	it("refuses sizes that do not belong together", () => {
		const [ips, entries] = orc([CALL, CALL]);
		const sizes = (ipSize: number, entrySize: number) =>
			failure(() =>
				load([
					text(),
					{ ...ips!, data: new Uint8Array(ipSize), relocations: [] },
					{ ...entries!, data: new Uint8Array(entrySize) },
				]),
			);
		for (const [ipSize, entrySize] of [
			[8, 6],
			[7, 12],
			[8, 13],
			[8, 0],
			[0, 12],
		] as const) {
			const error = sizes(ipSize, entrySize);
			expect(error.code).toBe("ELF_BAD_ORC");
			expect(error.reason).toContain(`${entrySize} bytes, and .orc_unwind_ip ${ipSize}:`);
		}
		expect(failure(() => load([text(), ips!])).reason).toContain("0 bytes, and .orc_unwind_ip 8");
		expect(failure(() => load([text(), ips!, entries!, entries!])).reason).toContain("there are two of them");
	});

	it("refuses entries of another form by .orc_header", () => {
		const header = (hash: string): SectionSpec => ({
			name: ".orc_header",
			data: Buffer.from(hash, "hex"),
			flags: ALLOC,
		});
		const known = "fe5d32bf581bd63b2ca9a5c65ba5a625eab3fe24";
		expect(load([text(), header(known), ...orc([CALL])]).findRow(BASE)).toEqual(call);
		for (const other of [known.replace("fe", "ff"), known.slice(2), known.repeat(2)]) {
			expect(failure(() => load([text(), header(other), ...orc([CALL])])).code).toBe("ELF_BAD_ORC");
		}
	});

	it("sorts 30,000 entries, in any order, in time", () => {
		const size = 30_000;
		const entries = Array.from({ length: size }, (_, i) => ({ ...CALL, at: (i * 7919) % size }));
		const big: SectionSpec = { name: ".text", data: new Uint8Array(size), flags: TEXT };
		const memory = new Memory({ bytes: 1 << 22 });
		const symbols = [{ name: ".text", section: ".text", binding: 0, type: 3 }];
		const objects = [parseElf(buildObject([big, ...orc(entries)], symbols), "big.o")];
		const image = linkImage({ name: "m", objects, base: BASE, memory, resolve: () => undefined });
		expect(image.findRow(BASE + size - 1)).toEqual(call);
	});
});
