import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { linkImage, parseElf } from "../../src/elf/index.js";
import { Memory } from "../../src/memory/index.js";
import { LONG } from "../support/sample.js";
import { ALLOC, buildObject, DATA } from "./objects.js";

const BASE = -0x7f000000;
const funcs = readFileSync(new URL("../../asm/prebuilt/vmlinux/funcs.o", import.meta.url));
const nops = new Uint8Array(16).fill(0x90);

/** Loads what can be loaded; anything but a KlpemuError is a failure of ours. Returns the code, or "ok". */
function outcome(bytes: Uint8Array): string {
	try {
		const object = parseElf(bytes, "damaged.o");
		const memory = new Memory({ bytes: 1 << 20 });
		linkImage({ name: "m", objects: [object], base: BASE, memory, resolve: () => BASE }).unload();
		return "ok";
	} catch (error) {
		if (error instanceof KlpemuError) return error.code;
		throw error;
	}
}

function failure(bytes: Uint8Array): KlpemuError {
	try {
		parseElf(bytes, "bad.o");
	} catch (error) {
		if (error instanceof KlpemuError) return error;
		throw error;
	}
	throw new Error("parsed");
}

function patched(bytes: Uint8Array, offset: number, ...values: number[]): Uint8Array {
	const copy = Uint8Array.from(bytes);
	copy.set(values, offset);
	return copy;
}

describe("parseElf", () => {
	it("reads what gcc writes", () => {
		const object = parseElf(funcs, "funcs.o");
		const names = object.sections.map(({ name }) => name);
		expect(names).toEqual(expect.arrayContaining([".text", ".data", ".bss", ".rodata", "__mcount_loc", ".eh_frame"]));
		const funcA = object.symbols.find(({ name }) => name === "funcA")!;
		expect(funcA).toMatchObject({ type: "func", binding: "global", livepatch: false });
		const text = object.sections[funcA.section]!;
		expect(text.relocations.filter(({ symbol }) => symbol.name === "__fentry__").length).toBe(7);
	});

	it("says 'truncated' or 'not ELF', and nothing worse, for a file cut at every byte", () => {
		for (let length = 0; length < funcs.length; length++) {
			const code = outcome(funcs.subarray(0, length));
			expect([length, code]).toEqual([length, length < 4 ? "ELF_NOT_ELF" : "ELF_TRUNCATED"]);
		}
		expect(outcome(funcs)).toBe("ok");
	});

	it("names the file and the offset of a missing part", () => {
		const error = failure(funcs.subarray(0, funcs.length - 1));
		expect(error.where).toBe("bad.o");
		expect(error.message).toMatch(/section headers needs bytes 0x[0-9a-f]+ to 0x[0-9a-f]+, but the file ends at 0x/);
	});

	it("survives any damage to up to four bytes", () => {
		const change = fc.tuple(fc.nat(funcs.length - 1), fc.nat(255));
		fc.assert(
			fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
				const copy = Uint8Array.from(funcs);
				for (const [offset, value] of changes) copy[offset] = value;
				outcome(copy);
			}),
			{ numRuns: LONG ? 1000 : 150, seed: 6 },
		);
	});

	it("survives each byte of the headers set to 0xff", () => {
		const shoff = Number(new DataView(funcs.buffer, funcs.byteOffset).getBigUint64(40, true));
		for (let offset = 0; offset < 64; offset++) outcome(patched(funcs, offset, 0xff));
		for (let offset = shoff; offset < funcs.length; offset += LONG ? 1 : 7) outcome(patched(funcs, offset, 0xff));
	});

	it.each([
		["an executable", 16, [2, 0], "ELF_UNSUPPORTED", /e_type at offset 0x10 is 2 \(an executable\)/],
		["another machine", 18, [183, 0], "ELF_UNSUPPORTED", /e_machine at offset 0x12 is 183/],
		["32 bits", 4, [1], "ELF_UNSUPPORTED", /64-bit little-endian/],
		["odd section headers", 58, [40, 0], "ELF_BAD_SECTION", /e_shentsize .* is 40/],
		["no section names", 62, [99, 0], "ELF_BAD_SECTION", /e_shstrndx .* is 99/],
	])("refuses %s", (_what, offset, bytes, code, message) => {
		const error = failure(patched(funcs, offset, ...bytes));
		expect(error.code).toBe(code);
		expect(error.message).toMatch(message);
	});

	it("names section and symbol when a symbol lies outside its section", () => {
		const error = failure(
			buildObject([{ name: ".text", data: nops }], [{ name: "f", section: ".text", value: 12, size: 8 }]),
		);
		expect(error.code).toBe("ELF_BAD_SYMBOL");
		expect(error.message).toMatch(/'f' is at 0xc, 8 bytes, of section '.text', which has 16/);
	});

	it("refuses an absolute symbol that is no address of the kernel, and takes those that are", () => {
		const absolute = (value: number) =>
			buildObject([{ name: ".text", data: nops }], [{ name: "a", section: "abs", value, type: 0 }]);
		for (const value of [-0x80000001, 0x100000000]) {
			const error = failure(absolute(value));
			expect([error.code, error.message]).toEqual([
				"ELF_BAD_SYMBOL",
				expect.stringMatching(/'a' is absolute, 0x[0-9a-f]+: not in the kernel window/),
			]);
		}
		for (const value of [-0x80000000, 0xffffffff]) {
			expect(parseElf(absolute(value), "test.o").symbols.find(({ name }) => name === "a")?.value).toBe(value);
		}
	});

	it("names section and offset when a relocation lies outside its section", () => {
		const relocations = [{ offset: 13, type: 2, symbol: "f" }];
		const error = failure(buildObject([{ name: ".text", data: nops, relocations }], [{ name: "f", section: ".text" }]));
		expect(error.code).toBe("ELF_BAD_RELOCATION");
		expect(error.message).toMatch(/relocation 0 at 0x[0-9a-f]+ of section '.rela.text' patches offset 0xd of '.text'/);
	});

	it("refuses thread-local data, REL relocations, odd alignments and huge bss", () => {
		const codes = [
			buildObject([{ name: ".tdata", data: nops, flags: DATA | 0x400 }]),
			buildObject([{ name: ".rel.text", data: nops, type: 9, flags: 0 }]),
			buildObject([{ name: ".data", data: nops, flags: DATA, align: 24 }]),
			buildObject([{ name: ".bss", bss: 2 ** 40, flags: DATA }]),
		].map((bytes) => failure(bytes).code);
		expect(codes).toEqual(["ELF_UNSUPPORTED", "ELF_UNSUPPORTED", "ELF_BAD_SECTION", "ELF_BAD_SECTION"]);
	});

	it("keeps livepatch relocations aside", () => {
		const object = parseElf(
			buildObject(
				[
					{
						name: ".text",
						data: nops,
						klpRela: ".klp.rela.some_mod..text",
						relocations: [{ offset: 4, type: 2, symbol: ".klp.sym.some_mod.helper,2", addend: -4 }],
					},
				],
				[{ name: ".klp.sym.some_mod.helper,2", section: "livepatch" }],
			),
			"lp.o",
		);
		expect(object.sections[1]!.relocations).toEqual([]);
		expect(object.klpRelocations).toMatchObject([{ objname: "some_mod", target: 1 }]);
		const memory = new Memory({ bytes: 1 << 20 });
		const image = linkImage({ name: "lp", objects: [object], base: BASE, memory, resolve: () => undefined });
		expect(image.klpRelocations).toMatchObject([{ objname: "some_mod", place: BASE + 4, type: 2, addend: -4n }]);
		expect(memory.u32(BASE + 4)).toBe(0x90909090);
	});

	it("accepts a section that is only read", () => {
		expect(outcome(buildObject([{ name: ".rodata", data: nops, flags: ALLOC }]))).toBe("ok");
	});
});
