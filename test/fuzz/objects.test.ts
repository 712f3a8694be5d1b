/** Small objects that would cost much time or memory, each in its own way. */
import { describe, expect, test } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { linkImage, parseElf } from "../../src/elf/index.js";
import { Memory } from "../../src/memory/index.js";
import { ALLOC, buildObject, DATA, type SectionSpec } from "../elf/objects.js";
import { LONG } from "../support/sample.js";
import { UNBOUNDED } from "./mutate.js";

const BASE = 0x81000000 | 0;
const text: SectionSpec = { name: ".text", data: new Uint8Array(64).fill(0x90) };
const symbol = { name: "f", section: ".text", size: 64 };
const u32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** Bytes that nothing needs, whenever the garbage is collected: what was not bounded took more than 1.6 GB. */
const TOO_MUCH = 1e9;

/** The error of an object, or "ok". It takes bounded time and memory. */
function outcome(bytes: Uint8Array): string {
	const [start, memory] = [process.cpuUsage(), process.memoryUsage().rss];
	const guest = new Memory({ bytes: 64 << 20 });
	try {
		const object = parseElf(bytes, "hostile.o");
		const image = linkImage({ name: "m", objects: [object], base: BASE, memory: guest, resolve: () => BASE });
		image.lineAt(BASE);
		return image.linesProblem ?? "ok";
	} catch (error) {
		if (error instanceof KlpemuError) return `${error.code}: ${error.reason}`;
		throw error;
	} finally {
		guest.close();
		const { user, system } = process.cpuUsage(start);
		expect((user + system) / 1e6).toBeLessThan(UNBOUNDED);
		expect(process.memoryUsage().rss - memory).toBeLessThan(TOO_MUCH);
	}
}

/** The object with its last section header `count` times: as many sections with the same bytes. */
function repeated(bytes: Uint8Array, index: number, count: number): Uint8Array {
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	const [shoff, shnum] = [Number(view.getBigUint64(40, true)), view.getUint16(60, true)];
	const out = new Uint8Array(bytes.length + 64 * count);
	out.set(bytes);
	const header = bytes.subarray(shoff + 64 * index, shoff + 64 * (index + 1));
	for (let i = 0; i < count; i++) out.set(header, shoff + 64 * (shnum + i));
	new DataView(out.buffer).setUint16(60, shnum + count, true);
	return out;
}

/** .eh_frame with one CIE and functions of these call frame instructions. */
function frames(initial: readonly number[], program: readonly number[], functions: number): Uint8Array {
	const entry = (body: readonly number[]) => {
		const padded = [...body, ...new Array((8 - ((body.length + 4) % 8)) % 8).fill(0)];
		return [...u32(padded.length), ...padded];
	};
	const bytes = entry([0, 0, 0, 0, 1, 0x7a, 0x52, 0, 1, 0x78, 16, 1, 0x03, ...initial]);
	for (let i = 0; i < functions; i++) {
		const fde = [...u32(bytes.length + 4), ...u32(BASE), ...u32(0x7fffffff), 0, ...program];
		for (const byte of entry(fde)) bytes.push(byte);
	}
	return buildObject([text, { name: ".eh_frame", data: Uint8Array.from(bytes), flags: ALLOC, align: 8 }], [symbol]);
}

describe("hostile objects cost bounded time and memory", () => {
	const relocations = Array.from({ length: 40_000 }, (_, i) => ({ offset: i % 56, type: 11, symbol: "f" }));

	test("a megabyte of relocations, in a thousand sections that overlap", () => {
		const bytes = buildObject([{ ...text, relocations }], [symbol]);
		expect(outcome(bytes)).toBe("ok");
		expect(outcome(repeated(bytes, 4, 1000))).toMatch(
			/^ELF_BAD_SECTION: its sections have \d+ bytes, .*: they overlap$/,
		);
	});

	test("a million relocations (a tenth in npm test)", () => {
		const million = Array.from({ length: LONG ? 25 : 3 }, () => relocations).flat();
		expect(outcome(buildObject([{ ...text, relocations: million }], [symbol]))).toBe("ok");
	});

	test("twenty thousand sections .modinfo with the same 60 KB", () => {
		const info: SectionSpec = {
			name: ".modinfo",
			data: new TextEncoder().encode("a=b\0".repeat(15_000)),
			flags: ALLOC,
		};
		const whole = buildObject([text, info]);
		const index = parseElf(whole, "m.ko").sections.findIndex(({ name }) => name === ".modinfo");
		expect(outcome(repeated(whole, index, 20_000))).toMatch(/its sections have 1\d{9} bytes, .* they overlap$/);
	});

	test("40,000 symbols that share a name of half a megabyte", () => {
		const bytes = buildObject([text], [{ ...symbol, name: "x".repeat(1 << 19) }]);
		const many = buildObject(
			[text],
			Array.from({ length: 40_000 }, (_, i) => ({ ...symbol, name: i === 0 ? "x".repeat(1 << 19) : "y" })),
		);
		for (const one of [bytes, many]) expect(outcome(one)).toMatch(/has no name of at most 4096 characters/);
	});

	test("2 GiB of bss, in one section and in forty", () => {
		expect(outcome(buildObject([{ name: ".bss", bss: 2 ** 31, flags: DATA }]))).toMatch(/^ELF_BAD_SECTION/);
		const parts = Array.from({ length: 40 }, (_, i) => ({ name: `.bss.${i}`, bss: 2 ** 26, flags: DATA }));
		expect(outcome(buildObject(parts))).toMatch(/^ELF_NO_SPACE/);
	});

	test("38 KB of .eh_frame with a row and a rule in every second byte", () => {
		const program = Array.from({ length: 9500 }, (_, i) => [0x41, 0x05, (i & 0x7f) | 0x80, (i >> 7) & 0x7f, 1]).flat();
		expect(outcome(frames([0x0c, 7, 8, 0x90, 1], program, 1))).toBe("ok");
		const nested = Array.from({ length: 20_000 }, () => 0x0a);
		expect(outcome(frames([0x0c, 7, 8, 0x90, 1], nested, 1))).toMatch(/too many remembered states/);
	});

	test("a CIE whose instructions each function would run", () => {
		const long = Array.from({ length: 100_000 }, () => 0x41);
		expect(outcome(frames(long, [], 10_000))).toMatch(/a CIE has \d+ bytes of instructions; 256 are supported/);
	});

	/** .debug_line: one unit of version 5 with these tables, and a program. */
	const lines = (tables: readonly number[], program: Uint8Array) => {
		const header = [1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, ...tables];
		const body = [5, 0, 8, 0, ...u32(header.length), ...header, 0, 9, 2, ...u32(BASE), 255, 255, 255, 255];
		const data = Uint8Array.from([...u32(body.length + program.length), ...body, ...program]);
		return buildObject([text, { name: ".debug_line", data, flags: 0, align: 1 }], [symbol]);
	};
	/** One folder, and one file in it. */
	const one = [1, 1, 8, 1, 0x61, 0, 2, 1, 8, 2, 11, 1, 0x62, 0, 0];

	test("four megabytes of .debug_line: a row in each byte, and five are not read", () => {
		const rows = new Uint8Array((4 << 20) - 100).map((_, i) => (i % 2 === 0 ? 0x20 : 0x2f));
		expect(outcome(lines(one, rows))).toBe("ok");
		expect(outcome(lines(one, new Uint8Array(5 << 20)))).toMatch(/'\.debug_line' has \d+ bytes; 4194304 are supported/);
	});

	test("tables of lines without end, and of entries without contents", () => {
		const many = [0xff, 0xff, 0xff, 0xff, 0x0f];
		expect(outcome(lines([0, ...many], new Uint8Array(8)))).toMatch(/4294967295 files or folders; 16384 are supported/);
		expect(outcome(lines([1, 1, 0x19, 1], new Uint8Array(8)))).toMatch(/form 0x19 in a table of files/);
	});
});
