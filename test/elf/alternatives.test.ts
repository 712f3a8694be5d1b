import { describe, expect, it } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { boot_cpu_has } from "../../src/elf/cpu-features.js";
import { linkImage, parseElf } from "../../src/elf/index.js";
import { type Kaddr, Memory } from "../../src/memory/index.js";
import { ALLOC, buildObject, DATA, type SectionSpec, type SymbolSpec, TEXT } from "./objects.js";

const BASE = -0x7f000000;
/** Near enough for a displacement of 32 bits from everywhere. */
const OUTSIDE = BASE + 0x100000;
const NOP8 = [0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];
const NOP = 0x90;

const ALWAYS = 3 * 32 + 21;
const MOVBE = 4 * 32 + 22;
const SMAP = 9 * 32 + 20;
const NOT = 1;
const DIRECT_CALL = 2;

interface Alternative {
	readonly at: number;
	readonly length: number;
	readonly repl: number;
	readonly size: number;
	readonly feature?: number;
	readonly flags?: number;
}
type Relocations = NonNullable<SectionSpec["relocations"]>;

interface Case {
	readonly code?: readonly number[];
	readonly repl?: readonly number[];
	readonly alternatives: readonly Alternative[];
	/** Of the replacement. */
	readonly relocations?: Relocations;
	/** Of the text. */
	readonly textRelocations?: Relocations;
	readonly words?: readonly bigint[];
	readonly resolve?: (name: string) => Kaddr | undefined;
}

function link({
	code = [],
	repl = [],
	alternatives,
	relocations = [],
	textRelocations = [],
	words = [0n],
	resolve,
}: Case) {
	const text = new Uint8Array(256).fill(0xcc);
	text.set(code);
	const table = new Uint8Array(14 * alternatives.length);
	const view = new DataView(table.buffer);
	for (const [i, { length, size, feature = ALWAYS, flags = 0 }] of alternatives.entries()) {
		view.setUint16(14 * i + 8, feature, true);
		view.setUint16(14 * i + 10, flags, true);
		table.set([length, size], 14 * i + 12);
	}
	const sections: SectionSpec[] = [
		{ name: ".text", data: text, flags: TEXT, relocations: textRelocations },
		{ name: ".altinstr_replacement", data: Uint8Array.from(repl), flags: TEXT, align: 1, relocations },
		{
			name: ".altinstructions",
			data: table,
			flags: ALLOC,
			align: 1,
			relocations: alternatives.flatMap(({ at, repl: from }, i) => [
				{ offset: 14 * i, type: 2, symbol: ".text", addend: at },
				{ offset: 14 * i + 4, type: 2, symbol: ".altinstr_replacement", addend: from },
			]),
		},
		{ name: ".data", data: new Uint8Array(new BigUint64Array(words).buffer), flags: DATA },
	];
	const own = [".text", ".altinstr_replacement", ".data"];
	const symbols: SymbolSpec[] = own.map((name) => ({ name, section: name, binding: 0, type: 3 }));
	for (const name of ["outside", "__x86_return_thunk"]) symbols.push({ name, section: "undef" });
	const memory = new Memory({ bytes: 1 << 20 });
	const objects = [parseElf(buildObject(sections, symbols), "a.o")];
	const at = (name: string) => (name === "outside" ? OUTSIDE : resolve?.(name));
	const image = linkImage({ name: "m", objects, base: BASE, memory, resolve: at });
	return { memory, image, code: (offset: number, size: number) => [...memory.read(BASE + offset, size)] };
}

function failure(given: Case): KlpemuError {
	try {
		link(given);
	} catch (error) {
		if (error instanceof KlpemuError) return error;
		throw error;
	}
	throw new Error("no error");
}

/** One alternative at the start of the text. */
const one = (length: number, size: number, rest: Partial<Alternative> = {}): readonly Alternative[] => [
	{ at: 0, length, repl: 0, size, ...rest },
];
const nops = (count: number) => Array.from({ length: count }, () => NOP);
const rel32 = (value: number) => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];

describe("features of the processor", () => {
	it("are those that cpuid announces, and what every kernel has", () => {
		// tsc, cx8, cmov; cx16, movbe; lm; nopl, always.
		for (const has of [4, 8, 15, 4 * 32 + 13, MOVBE, 32 + 29, 3 * 32 + 20, ALWAYS]) {
			expect([has, boot_cpu_has(has)]).toEqual([has, true]);
		}
		// popcnt, which Unicorn has not; fpu, sse2; retpoline, xenpv, smap, call depth, rethunk; a bug.
		for (const not of [
			4 * 32 + 23,
			0,
			26,
			7 * 32 + 12,
			8 * 32 + 16,
			SMAP,
			11 * 32 + 19,
			11 * 32 + 14,
			22 * 32 + 1,
			31 * 32 + 31,
		]) {
			expect([not, boot_cpu_has(not)]).toEqual([not, false]);
		}
	});
});

describe(".altinstructions", () => {
	const before = [0x0f, 0x01, 0xca, 0x31, 0xc0];

	it.each([
		["is there", MOVBE, 0, true],
		["is not there", SMAP, 0, false],
		["is there and must not be", MOVBE, NOT, false],
		["is not there and must not be", SMAP, NOT, true],
	])("[rule 10.5] are used if the feature %s", (_what, feature, flags, used) => {
		// xor %ecx, %ecx in place of xor %eax, %eax; xor %eax, %eax
		const { code } = link({
			code: [0x31, 0xc0, 0x31, 0xc0],
			repl: [0x31, 0xc9],
			alternatives: one(4, 2, { feature, flags }),
		});
		expect(code(0, 5)).toEqual([...(used ? [0x31, 0xc9, 0x66, NOP] : [0x31, 0xc0, 0x31, 0xc0]), 0xcc]);
	});

	it("leave one nop of the room that nobody needs, replaced or not", () => {
		const room = [...nops(11), 0x31, 0xc0, NOP, NOP, NOP, 0x0f, 0x1f, 0x00];
		const kept = link({ code: room, alternatives: one(room.length, 0, { feature: SMAP }) });
		expect(kept.code(0, room.length)).toEqual([0x66, 0x66, 0x2e, ...NOP8, 0x31, 0xc0, 0x66, 0x0f, 0x1f, 0x44, 0, 0]);
		const taken = link({ code: before, alternatives: one(5, 0) });
		expect(taken.code(0, 6)).toEqual([0x0f, 0x1f, 0x44, 0, 0, 0xcc]);
	});

	it("[rule 10.5] jump over more room than a nop can have", () => {
		const { code } = link({ code: nops(20), alternatives: one(20, 0) });
		expect(code(0, 20)).toEqual([0xeb, 18, ...Array.from({ length: 18 }, () => 0xcc)]);
		expect(link({ code: nops(200), alternatives: one(200, 0) }).code(0, 6)).toEqual([0xe9, ...rel32(195), 0xcc]);
	});

	it("do not touch what is optimized already, and no pause", () => {
		const done = [0xf3, NOP, 0x31, 0xc0, 0x66, NOP];
		expect(link({ code: done, alternatives: one(6, 0, { feature: SMAP }) }).code(0, 6)).toEqual(done);
	});

	it("have calls and addresses that are right where they are put", () => {
		// call outside; mov .data(%rip), %rax; jmp to the end of the replacement
		const { memory, code, image } = link({
			code: nops(24),
			repl: [0xe8, 0, 0, 0, 0, 0x48, 0x8b, 0x05, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0],
			relocations: [
				{ offset: 1, type: 4, symbol: "outside", addend: -4 },
				{ offset: 8, type: 2, symbol: ".data", addend: -4 },
				{ offset: 13, type: 2, symbol: ".altinstr_replacement", addend: 17 - 4 },
			],
			alternatives: [{ at: 3, length: 20, repl: 0, size: 17 }],
		});
		expect((BASE + 8 + memory.i32(BASE + 4)) | 0).toBe(OUTSIDE);
		expect((BASE + 15 + memory.i32(BASE + 11)) | 0).toBe(image.sections(".data")[0]!.address);
		expect(code(15, 9)).toEqual([0xeb, 3, 0xcc, 0xcc, 0xcc, 0x0f, 0x1f, 0x00, NOP]);
	});

	it("make a jump near by a short one, with int3 behind it", () => {
		const { code } = link({
			code: nops(5),
			repl: [0xe9, 0, 0, 0, 0],
			relocations: [{ offset: 1, type: 2, symbol: ".text", addend: 100 - 4 }],
			alternatives: one(5, 5),
		});
		expect(code(0, 5)).toEqual([0xeb, 98, 0xcc, 0xcc, 0xcc]);
	});

	it("may return: the branch to the thunk is a ret already", () => {
		const { code } = link({
			code: nops(5),
			repl: [0xe9, 0, 0, 0, 0],
			relocations: [{ offset: 1, type: 4, symbol: "__x86_return_thunk", addend: -4 }],
			alternatives: one(5, 5),
		});
		expect(code(0, 5)).toEqual([0xc3, 0xcc, 0xcc, 0xcc, 0xcc]);
	});

	it("[rule 10.5] come one after the other; those of one place have the room of the largest", () => {
		const alternatives = [
			{ at: 0, length: 2, repl: 0, size: 2 },
			{ at: 0, length: 6, repl: 2, size: 2 },
			{ at: 0, length: 4, repl: 4, size: 2 },
			{ at: 16, length: 2, repl: 0, size: 2 },
		];
		const { code } = link({ code: nops(18), repl: [0x31, 0xc0, 0x31, 0xc9, 0x31, 0xd2], alternatives });
		expect(code(0, 6)).toEqual([0x31, 0xd2, 0x0f, 0x1f, 0x40, 0]);
		expect(code(16, 2)).toEqual([0x31, 0xc0]);
	});

	describe("with a direct call in place of one through a pointer", () => {
		const direct = (words: readonly bigint[], names: Readonly<Record<string, Kaddr>> = {}): Case => ({
			code: [0xff, 0x15, 0, 0, 0, 0],
			textRelocations: [{ offset: 2, type: 2, symbol: ".data", addend: -4 }],
			repl: [0xe8, 0, 0, 0, 0],
			relocations: [{ offset: 1, type: 4, symbol: "outside", addend: -4 }],
			alternatives: one(6, 5, { flags: DIRECT_CALL }),
			words,
			resolve: (name) => names[name],
		});
		const function_ = BigInt(BASE + 128);

		it("[rule 10.6] call the function that the pointer has, BUG_func for none, and nothing for nop_func", () => {
			expect(link(direct([function_])).code(0, 6)).toEqual([0xe8, ...rel32(128 - 5), NOP]);
			expect(link(direct([0n], { BUG_func: BASE + 64 })).code(0, 6)).toEqual([0xe8, ...rel32(64 - 5), NOP]);
			const nothing = link(direct([function_], { nop_func: BASE + 128 })).code(0, 6);
			expect(nothing).toEqual([0x66, 0x0f, 0x1f, 0x44, 0, 0]);
		});

		it.each<[string, Case, string]>([
			["no function", direct([5n]), "the function 0x0000000000000005 to call is not in the kernel"],
			["no BUG_func", direct([0n]), "the pointer to call is 0, and there is no BUG_func"],
			["a pointer nowhere", { ...direct([0n]), textRelocations: [] }, "to call, at 0x"],
			["another call", { ...direct([0n]), code: [0xff, 0x14] }, "replaces something else than an indirect call"],
			["no call", { ...direct([0n]), repl: [0xe9, 0, 0, 0, 0] }, "replaces something else than an indirect call"],
		])("refuse %s", (_what, given, message) => {
			const wrong = given.textRelocations?.length === 0 ? { ...given, code: [0xff, 0x15, ...rel32(0x7000000)] } : given;
			const error = failure(wrong);
			expect([error.code, error.where]).toEqual(["ELF_BAD_TABLE", "a.o"]);
			expect(error.reason).toContain("section '.altinstructions' offset 0x0: ");
			expect(error.reason).toContain(message);
		});
	});

	it.each<[string, Alternative, Partial<Case>, string]>([
		["text behind the image", { at: 0x10000, length: 2, repl: 0, size: 0 }, {}, "is not in the text of the image"],
		["a replacement nowhere", { at: 0, length: 2, repl: 0x10000, size: 2 }, {}, "0xffffffff81010100, 2 bytes, is not"],
		["too long a replacement", { at: 0, length: 2, repl: 0, size: 3 }, {}, "3 bytes do not fit into 2"],
		["too long a text", { at: 0, length: 255, repl: 0, size: 0 }, {}, "255 bytes are replaced; 254 are supported"],
		["a feature", { at: 0, length: 2, repl: 0, size: 0, feature: 1024 }, {}, "the feature 1024 is not known"],
		["a flag", { at: 0, length: 2, repl: 0, size: 0, flags: 4 }, {}, "the flags 0x4 are not known"],
		[
			"an address that is cut",
			{ at: 0, length: 5, repl: 0, size: 3 },
			{ relocations: [{ offset: 1, type: 4, symbol: "outside", addend: -4 }] },
			"cannot be moved",
		],
	])("refuse %s", (_what, alternative, given, message) => {
		const error = failure({ code: nops(16), repl: nops(8), alternatives: [alternative], ...given });
		expect(error.code).toBe("ELF_BAD_TABLE");
		expect(error.reason).toContain("section '.altinstructions' offset 0x0: ");
		expect(error.reason).toContain(message);
	});
});
