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
	readonly augmentation?: string;
	readonly initial?: readonly number[];
	readonly program: readonly number[];
}

function ehFrame({ augmentation = "zR", initial = CIE_INITIAL, program }: Frame, functionSize: number): Uint8Array {
	const letters = [...augmentation].map((letter) => letter.charCodeAt(0));
	const cie = [0, 0, 0, 0, 1, ...letters, 0, 1, 0x78, 16, 1, 0x1b, ...initial];
	const entries = [entry(cie)];
	const cieSize = entries[0]!.length;
	const idOfFde = cieSize + 4;
	const fde = [...u32(idOfFde), ...u32(0), ...u32(functionSize), 0, ...program];
	entries.push(entry(fde));
	return Uint8Array.from(entries.flat());
}

function entry(body: readonly number[]): number[] {
	const padded = [...body];
	while ((padded.length + 4) % 8 !== 0) padded.push(0);
	return [...u32(padded.length), ...padded];
}

const u32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** The rows of a 32 byte function with this frame description, one per byte. */
function rows(frame: Frame): (UnwindRow | undefined)[] {
	const data = ehFrame(frame, 32);
	const cieSize = new DataView(data.buffer).getUint32(0, true) + 4;
	const object = parseElf(
		buildObject(
			[
				{ name: ".text", data: new Uint8Array(64).fill(0x90) },
				{
					name: ".eh_frame",
					data,
					flags: ALLOC,
					align: 8,
					relocations: [{ offset: cieSize + 8, type: 2, symbol: "f", addend: 0 }],
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
