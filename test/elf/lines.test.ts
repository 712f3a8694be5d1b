/** `.debug_line`: what gcc writes, in each version, is read as binutils read it; damage is a reason, never an exception. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Image, linkImage, parseElf } from "../../src/elf/index.js";
import { Memory } from "../../src/memory/index.js";
import { ALLOC, buildObject, TEXT } from "./objects.js";

const BASE = 0x81000000 | 0;
const folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

const SOURCE = `#include "inline.h"
__attribute__((noinline)) int first(int x)
{
	int sum = 0;

	for (int i = 0; i < x; i++)
		sum += twice(i);
	return sum;
}
#line 500 "other.c"
int second(int x)
{
	if (x > 7)
		return first(x) * 3;
	return twice(x) - 1;
}
__attribute__((section(".init.text"))) int third(int x) { return second(x) + 1; }
`;

function link(bytes: Uint8Array, fileName = "lines.o"): Image {
	const memory = new Memory({ bytes: 32 << 20 });
	const objects = [parseElf(bytes, fileName)];
	return linkImage({ name: "m", objects, base: BASE, memory, resolve: () => BASE });
}

/** Sections of an object that is linked in test: `.text`, and these of debug information. */
function damaged(line: readonly number[] | Uint8Array, strings = ""): Image {
	const text = { name: ".text", data: new Uint8Array(64).fill(0x90), flags: TEXT };
	const debug = (name: string, data: Uint8Array) => ({ name, data, flags: 0, align: 1 });
	const sections = [
		debug(".debug_line", Uint8Array.from(line)),
		debug(".debug_str", new TextEncoder().encode(strings)),
	];
	return link(buildObject([text, ...sections], [{ name: "f", section: ".text", size: 64 }]));
}

const u32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** A unit of version 4 with one file, whose program begins at the image's first byte. */
function unit(program: readonly number[], { version = 4, lineRange = 14, rest = [] as number[] } = {}): number[] {
	const tables = [0, 0x61, 0x2e, 0x63, 0, 0, 0, 0, 0];
	const header = [1, 1, 1, 0xfb, lineRange, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, ...tables];
	const address = [0, 9, 2, ...u32(BASE), 0xff, 0xff, 0xff, 0xff];
	const body = [version, 0, ...u32(header.length), ...header, ...address, ...program];
	return [...u32(body.length), ...body, ...rest];
}

/** A unit of version 5: a folder, whose name is in .debug_str, and a file with all that the table may say of it. */
function unit5(program: readonly number[], { form = 0x0e, addressSize = 8 } = {}): number[] {
	const folders = [1, ...[1, form], 1, ...u32(2)];
	const bytes = (count: number) => new Array<number>(count).fill(7);
	const file = [...[0x62, 0], ...[0, 0], ...bytes(4), ...bytes(8), ...bytes(16), ...[3, 7, 7, 7]];
	const files = [6, ...[1, 0x08], ...[2, 0x05], ...[4, 0x06], ...[3, 0x07], ...[5, 0x1e], ...[0x2001 & 0x7f, 0x09], 2];
	const header = [1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, ...folders, ...files, ...file, ...file];
	const address = [0, 9, 2, ...u32(BASE), 0xff, 0xff, 0xff, 0xff];
	const body = [5, 0, addressSize, 0, ...u32(header.length), ...header, ...address, ...program];
	return [...u32(body.length), ...body];
}

describe("lines of instructions", () => {
	test.each([2, 3, 4, 5])("of DWARF %i, as addr2line tells them, byte by byte", (version) => {
		writeFileSync(join(folder, "inline.h"), "static inline int twice(int x)\n{\n\treturn x * 2;\n}\n");
		writeFileSync(join(folder, "lines.c"), SOURCE);
		const flags = ["-O2", "-g1", `-gdwarf-${version}`, "-mcmodel=kernel", "-fno-pic", "-ffunction-sections"];
		execFileSync("gcc", [...flags, "-c", "lines.c", "-o", "lines.o"], { cwd: folder });
		const image = link(new Uint8Array(readFileSync(join(folder, "lines.o"))));
		expect(image.linesProblem).toBeUndefined();
		const files = new Set<string>();
		for (const { name: symbol, address, size } of image.symbols.filter(({ type }) => type === "func")) {
			const section = symbol === "third" ? ".init.text" : `.text.${symbol}`;
			const offsets = Array.from({ length: size }, (_, i) => `0x${i.toString(16)}`);
			const options = ["-e", "lines.o", "-j", section, ...offsets];
			const told = execFileSync("addr2line", options, { cwd: folder, encoding: "utf8" }).trim().split("\n");
			const ours = offsets.map((_, i) => image.lineAt(address + i));
			const short = (file: string) => file.replace(/^.*\//, "");
			expect(ours.map((line) => line && `${short(line.file)}:${line.line}`)).toEqual(
				told.map((line) => short(line).replace(/ .*/, "")),
			);
			for (const line of ours) files.add(short(line!.file));
		}
		expect([...files].sort()).toEqual(["inline.h", "lines.c", "other.c"]);
		expect(image.lineAt((BASE - 1) | 0)).toBeUndefined();
		expect(image.lineAt(image.end)).toBeUndefined();
	});

	test("no debug information: no line, and no problem", () => {
		const image = link(buildObject([{ name: ".text", data: new Uint8Array(64).fill(0x90), flags: ALLOC | 4 }]));
		expect([image.lineAt(BASE), image.linesProblem]).toEqual([undefined, undefined]);
	});

	test("a program by hand: rows, their ends, a line of nobody", () => {
		// advance_pc, advance_line, copy; line 0; end_sequence.
		const image = damaged(unit([3, 9, 1, 2, 4, 3, 5, 1, 2, 4, 3, 0x71, 1, 2, 4, 0, 1, 1]));
		expect([0, 3, 4, 7, 8, 12].map((at) => image.lineAt(BASE + at)?.line)).toEqual([
			...[10, 10, 15, 15],
			...[undefined, undefined],
		]);
		expect(image.lineAt(BASE)?.file).toBe("a.c");
		expect(image.linesProblem).toBeUndefined();
	});
});

test("tables of DWARF 5 with numbers and texts of every size, and of no use", () => {
	// fixed_advance_pc 8, advance_line, copy, the same line again, end_sequence.
	const image = damaged(unit5([3, 4, 1, 9, 8, 0, 3, 2, 1, 2, 4, 1, 2, 4, 0, 1, 1]), "a\0folder\0");
	expect([0, 8, 12].map((at) => image.lineAt(BASE + at))).toEqual([
		{ file: "folder/b", line: 5 },
		{ file: "folder/b", line: 7 },
		{ file: "folder/b", line: 7 },
	]);
	expect(image.linesProblem).toBeUndefined();
});

test.each<[string, number[], RegExp]>([
	["a form that no table has", unit5([], { form: 0x01 }), /form 0x1 in a table of files/],
	["addresses of four bytes", unit5([], { addressSize: 4 }), /addresses of 4 \+ 0 bytes/],
	["a version that is not known", unit([], { version: 6 }), /DWARF version 6/],
	["line_range 0", unit([255], { lineRange: 0 }), /line_range is 0/],
	["64-bit DWARF", u32(0xffffffff), /64-bit/],
	["a unit that runs past the section", [...u32(100), 4, 0], /ends in the middle/],
	["an opcode past its unit", unit([0, 100, 2]), /runs past its unit/],
	["an address of four bytes", unit([0, 5, 2, 0, 0, 0, 0]), /an address of 4 bytes/],
	["addresses that descend", unit([2, 4, 1, 0, 9, 2, ...u32(BASE), 255, 255, 255, 255, 1]), /descend/],
	["a number that does not end", unit([2, ...new Array<number>(20).fill(0xff)]), /LEB128/],
	["rest behind the last unit", unit([0, 1, 1], { rest: [1] }), /ends in the middle/],
])("%s: no line, and the reason", (_, line, reason) => {
	const image = damaged(line);
	expect(image.lineAt(BASE)).toBeUndefined();
	expect(image.linesProblem).toMatch(reason);
	expect(image.linesProblem).toMatch(/^lines\.o|^.*: section '\.debug_line'/);
});
