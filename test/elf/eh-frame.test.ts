import { describe, expect, it } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { linkImage, parseElf, type UnwindRow } from "../../src/elf/index.js";
import { Memory } from "../../src/memory/index.js";
import { ALLOC, buildObject } from "./objects.js";

const BASE = -0x7f000000;
const RSP = 4;
const RBP = 5;
const RBX = 3;

/** CIE as gcc writes it: code alignment 1, data alignment -8, column 16, pcrel sdata4; CFA = rsp+8, return address there. */
const CIE_INITIAL = [0x0c, 7, 8, 0x80 | 16, 1];

interface Frame {
	readonly version?: number;
	readonly augmentation?: string;
	/** The CIE's augmentation data, with their length. */
	readonly data?: readonly number[];
	readonly initial?: readonly number[];
	/** Bytes of a pointer, and the relocation of the function's address. */
	readonly pointer?: { readonly bytes: 4 | 8; readonly type: number };
	readonly size?: readonly number[];
	/** The FDE's augmentation data, with their length. */
	readonly more?: readonly number[];
	readonly program: readonly number[];
	/** What stands before the frame description. */
	readonly before?: readonly number[];
}

const PCREL = { bytes: 4, type: 2 } as const;

function ehFrame(frame: Frame): { readonly data: Uint8Array; readonly pointerAt: number } {
	const { version = 1, augmentation = "zR", data = [1, 0x1b], initial = CIE_INITIAL, more = [0], before = [] } = frame;
	const { size = u32(32) } = frame;
	const letters = [...augmentation].map((letter) => letter.charCodeAt(0));
	const cie = entry([0, 0, 0, 0, version, ...letters, 0, 1, 0x78, 16, ...data, ...initial]);
	const idOfFde = cie.length + before.length + 4;
	const zeros = new Array<number>(frame.pointer?.bytes ?? 4).fill(0);
	const fde = entry([...u32(idOfFde), ...zeros, ...size, ...more, ...frame.program]);
	return { data: Uint8Array.from([...cie, ...before, ...fde]), pointerAt: idOfFde + 4 };
}

function entry(body: readonly number[]): number[] {
	const padded = [...body];
	while ((padded.length + 4) % 8 !== 0) padded.push(0);
	return [...u32(padded.length), ...padded];
}

const u32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** The rows of a 32 byte function with this frame description, one per byte. */
function rows(frame: Frame): (UnwindRow | undefined)[] {
	const { data, pointerAt } = ehFrame(frame);
	const { type } = frame.pointer ?? PCREL;
	const object = parseElf(
		buildObject(
			[
				{ name: ".text", data: new Uint8Array(64).fill(0x90) },
				{
					name: ".eh_frame",
					data,
					flags: ALLOC,
					align: 8,
					relocations: [{ offset: pointerAt, type, symbol: "f", addend: 0 }],
				},
			],
			[{ name: "f", section: ".text", value: 16, size: 32 }],
		),
		"frames.o",
	);
	const memory = new Memory({ bytes: 1 << 20 });
	const image = linkImage({ name: "m", objects: [object], base: BASE, memory, resolve: () => undefined });
	expect(image.findRow(BASE + 15)).toBeUndefined();
	expect(image.findRow(BASE + 48)).toBeUndefined();
	return Array.from({ length: 32 }, (_, offset) => image.findRow(BASE + 16 + offset));
}

function failure(frame: Frame): KlpemuError {
	try {
		rows(frame);
	} catch (error) {
		if (error instanceof KlpemuError) return error;
		throw error;
	}
	throw new Error("no error");
}

const atEntry = { cfaRegister: RSP, cfaOffset: 8, raOffset: -8, signal: false, saved: [] };

describe(".eh_frame", () => {
	it("describes a function that keeps registers, an early return included", () => {
		const found = rows({
			program: [
				...[0x41, 0x0e, 16, 0x80 | 3, 2], // push %rbx: advance 1, CFA = rsp+16, rbx at CFA-16
				...[0x02, 4, 0x0e, 64], // sub $48, %rsp
				...[0x41, 0x0a], // remember_state
				...[0x41, 0x0e, 8, 0xc3], // early epilogue: rbx restored
				...[0x42, 0x0b], // restore_state
			],
		});
		expect(found[0]).toEqual(atEntry);
		expect(found[1]).toEqual({ ...atEntry, cfaOffset: 16, saved: [{ register: RBX, offset: -16 }] });
		expect(found[5]).toEqual({ ...atEntry, cfaOffset: 64, saved: [{ register: RBX, offset: -16 }] });
		expect(found[7]).toEqual(atEntry);
		expect(found[8]).toEqual(atEntry);
		expect(found[9]).toEqual(found[5]);
		expect(found[31]).toEqual(found[5]);
	});

	it("follows a frame pointer, and long advances", () => {
		const found = rows({ program: [0x03, 3, 0, 0x0e, 16, 0x86, 2, 0x04, 3, 0, 0, 0, 0x0d, 6] });
		expect(found[2]).toEqual(atEntry);
		expect(found[3]).toMatchObject({ cfaRegister: RSP, cfaOffset: 16, saved: [{ register: RBP, offset: -16 }] });
		expect(found[6]).toMatchObject({ cfaRegister: RBP, cfaOffset: 16, saved: [{ register: RBP, offset: -16 }] });
	});

	it("knows the end of the stack, and the frames of interrupts", () => {
		expect(rows({ program: [0x07, 16] })[0]).toEqual({ ...atEntry, raOffset: undefined });
		// gcc writes the letters of "zRS" in this order; S takes no data.
		expect(rows({ augmentation: "zRS", program: [] })[0]).toEqual({ ...atEntry, signal: true });
	});

	it("has no row where only an expression tells", () => {
		const found = rows({ program: [0x44, 0x0f, 2, 0x77, 8, 0x44, 0x0c, 7, 8, 0x10, 3, 2, 0x77, 8] });
		expect([found[3], found[4], found[8]]).toEqual([atEntry, undefined, undefined]);
	});

	it("knows the other forms of the same instructions", () => {
		const found = rows({
			initial: [...CIE_INITIAL, 0x83, 2],
			program: [
				...[0x12, 7, 0x7e, 0x2e, 8, 0x40], // def_cfa_sf: rsp+16, args_size, advance 0
				...[0x44, 0x13, 0x7d, 0x05, 6, 3], // def_cfa_offset_sf: +24; offset_extended: rbp at CFA-24
				...[0x44, 0x06, 6, 0x11, 3, 4], // restore_extended rbp; offset_extended_sf: rbx at CFA-32
				...[0x44, 0xc3], // restore: rbx as in the CIE
				...[0x44, 0x08, 3], // same_value
			],
		});
		const at16 = { ...atEntry, cfaOffset: 16, saved: [{ register: RBX, offset: -16 }] };
		expect(found[0]).toEqual(at16);
		const rbp = { register: RBP, offset: -24 };
		expect(found[4]).toEqual({ ...at16, cfaOffset: 24, saved: [{ register: RBX, offset: -16 }, rbp] });
		expect(found[8]).toEqual({ ...at16, cfaOffset: 24, saved: [{ register: RBX, offset: -32 }] });
		expect(found[12]).toEqual({ ...at16, cfaOffset: 24 });
		expect(found[16]).toEqual({ ...at16, cfaOffset: 24, saved: [] });
	});

	it.each([
		["register", [0x09, 3, 12]],
		["val_offset", [0x14, 3, 2]],
		["val_offset_sf", [0x15, 3, 2]],
		["val_expression", [0x16, 3, 1, 0x57]],
	])("has no row where %s tells of a register", (_what, rule) => {
		const found = rows({ program: [0x44, ...rule, 0x44, 0x08, 3] });
		expect([found[3], found[4], found[8]]).toEqual([atEntry, undefined, atEntry]);
	});

	const SIZE_8 = [...u32(32), ...u32(0)];
	it.each<[string, Omit<Frame, "program">]>([
		["absolute, 64 bits", { data: [1, 0x00], pointer: { bytes: 8, type: 1 }, size: SIZE_8 }],
		["sdata8", { data: [1, 0x0c], pointer: { bytes: 8, type: 1 }, size: SIZE_8 }],
		["udata4", { data: [1, 0x03], pointer: { bytes: 4, type: 11 } }],
		[
			"absolute without an augmentation",
			{ augmentation: "", data: [], pointer: { bytes: 8, type: 1 }, size: SIZE_8, more: [] },
		],
		["pcrel in a CIE of version 3", { version: 3 }],
		["pcrel behind a terminator", { before: u32(0) }],
	])("reads addresses that are %s", (_what, frame) => {
		expect(rows({ ...frame, program: [0x42, 0x0e, 16] }).slice(1, 3)).toEqual([atEntry, { ...atEntry, cfaOffset: 16 }]);
	});

	it.each<[string, Partial<Frame>, RegExp]>([
		["a CIE of version 4", { version: 4 }, /CIE version 4 is not supported/],
		["64-bit descriptions", { before: u32(0xffffffff) }, /64-bit frame descriptions are not supported/],
		["an entry past the section", { before: u32(0x10000) }, /entry at 0x18 runs past the section's end/],
		["an FDE without its CIE", { before: entry([...u32(8), 0, 0, 0, 0]) }, /the entry at 0x18 names no CIE/],
		["pointers of two bytes", { data: [1, 0x1a] }, /pointer encoding 0x1a is not supported/],
		["pointers relative to data", { data: [1, 0x3b] }, /pointer encoding 0x3b is not supported/],
		["a negative size", { size: u32(-1) }, /a function of -1 bytes/],
		["a long augmentation of a CIE", { data: [100, 0x1b] }, /the augmentation runs past its entry/],
		["a long augmentation of an FDE", { more: [100] }, /the augmentation runs past its entry/],
		["a long CIE", { initial: new Array<number>(300).fill(0) }, /30\d bytes of instructions; 256 are supported/],
	])("refuses %s", (_what, frame, message) => {
		const error = failure({ program: [], ...frame });
		expect(error).toMatchObject({ code: "ELF_BAD_EH_FRAME", where: "frames.o" });
		expect(error.message).toMatch(message);
	});

	it.each([
		["an unknown instruction", [0x3f, 1], /call frame instruction 0x3f is not known/],
		["restore_state out of nothing", [0x0b], /without a remembered state/],
		["instructions past the function", [0x02, 200], /run past the function's end/],
		["a value that is cut off", [0, 0, 0, 0x0e, 0x80, 0x80, 0x80], /ends in the middle of a value/],
		["a number that is too long", [0x0e, ...new Array<number>(9).fill(0x80)], /LEB128 number that is too long/],
		["remembering without end", new Array<number>(100).fill(0x0a), /too many remembered states/],
		["a CFA based on nothing", [0x0c, 33, 8], /CFA is based on register 33/],
	])("refuses %s, with object and offset", (_what, program, message) => {
		const error = failure({ program });
		expect(error.code).toBe("ELF_BAD_EH_FRAME");
		expect(error.where).toBe("frames.o");
		expect(error.message).toMatch(message);
		expect(error.message).toMatch(/section '.eh_frame' offset 0x[0-9a-f]+: /);
	});

	it.each(["zPLR", "eh"])('refuses the augmentation "%s"', (augmentation) => {
		expect(failure({ augmentation, program: [] }).message).toContain(`augmentation "${augmentation}"`);
	});
});
