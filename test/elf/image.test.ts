import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type ElfObject, type Image, linkImage, parseElf } from "../../src/elf/index.js";
import { hex, type Kaddr, Memory, PERM } from "../../src/memory/index.js";
import { ALLOC, buildObject, DATA, failure, type SectionSpec, type SymbolSpec, TEXT } from "./objects.js";

const BASE = -0x7f000000;
/** 0xffffffff82000000 */
const EXTERNAL = -0x7e000000;

const object = (sections: readonly SectionSpec[], symbols: readonly SymbolSpec[], name = "a.o"): ElfObject =>
	parseElf(buildObject(sections, symbols), name);

function load(objects: readonly ElfObject[], resolve: (name: string) => Kaddr | undefined = () => undefined) {
	const memory = new Memory({ bytes: 1 << 20 });
	const image = linkImage({ name: "m", objects, base: BASE, memory, resolve });
	return { memory, image };
}

const committed = (name: string) =>
	parseElf(readFileSync(new URL(`../../asm/prebuilt/${name}`, import.meta.url)), name);
const fentry = (name: string): Kaddr | undefined => (name === "__fentry__" ? EXTERNAL : undefined);
const names = (image: Image) => image.symbols.map(({ name }) => name);

/** One relocation of each type at offset 0x10 of .data, to `target` with addend 4, read back. */
function relocate(type: number, target: Kaddr, size: number): { value: bigint; memory: Memory; image: Image } {
	const data = new Uint8Array(32).fill(0xee);
	const relocations = [{ offset: 16, type, symbol: "target", addend: 4 }];
	const { memory, image } = load(
		[object([{ name: ".data", data, flags: DATA, relocations }], [{ name: "target", section: "undef", size: 9 }])],
		() => target,
	);
	const place = image.sections(".data")[0]!.address + 16;
	let value = 0n;
	for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(memory.u8(place + i));
	// Nothing beside the field is touched.
	expect(memory.u8(place - 1)).toBe(0xee);
	expect(memory.u8(place + size)).toBe(0xee);
	return { value: BigInt.asIntN(8 * size, value), memory, image };
}

describe("relocations", () => {
	// .rodata holds one GOT slot in a page of its own where there is one, so .data follows it.
	const S = BigInt(EXTERNAL);
	it.each([
		["R_X86_64_64", 1, 8, S + 4n],
		["R_X86_64_PC32", 2, 4, S + 4n - BigInt(BASE + 16)],
		["R_X86_64_PLT32", 4, 4, S + 4n - BigInt(BASE + 16)],
		["R_X86_64_32S", 11, 4, S + 4n],
		["R_X86_64_PC64", 24, 8, S + 4n - BigInt(BASE + 16)],
		["R_X86_64_GOTOFF64", 25, 8, S + 4n - BigInt(BASE)],
		["R_X86_64_GOTPC32", 26, 4, BigInt(BASE) + 4n - BigInt(BASE + 16)],
		["R_X86_64_GOTPC64", 29, 8, BigInt(BASE) + 4n - BigInt(BASE + 16)],
		["R_X86_64_SIZE32", 32, 4, 13n],
		["R_X86_64_SIZE64", 33, 8, 13n],
	])("%s", (_name, type, size, expected) => {
		expect(relocate(type, EXTERNAL, size).value).toBe(expected);
	});

	it.each([
		["R_X86_64_32", 10, 4],
		["R_X86_64_16", 12, 2],
		["R_X86_64_8", 14, 1],
	])("%s, of a value that is small enough", (_name, type, size) => {
		expect(relocate(type, 0x60, size).value).toBe(0x64n);
	});

	it.each([
		["R_X86_64_PC16", 13, 2],
		["R_X86_64_PC8", 15, 1],
	])("%s, to a place near by", (_name, type, size) => {
		expect(relocate(type, BASE, size).value).toBe(-12n);
	});

	it.each([
		["R_X86_64_GOTPCREL", 9, 4],
		["R_X86_64_GOTPCREL64", 28, 8],
		["R_X86_64_GOTPCRELX", 41, 4],
		["R_X86_64_REX_GOTPCRELX", 42, 4],
	])("%s, through a slot that holds the address", (_name, type, size) => {
		const { value, memory, image } = relocate(type, EXTERNAL, size);
		const place = image.sections(".data")[0]!.address + 16;
		const slot = place + Number(value) - 4;
		expect(memory.kaddr(slot)).toBe(EXTERNAL);
		expect(memory.permissions(slot)).toBe(PERM.READ);
	});

	it.each([
		["R_X86_64_32", 10, EXTERNAL],
		["R_X86_64_32S", 11, 0x7ffffffe],
		["R_X86_64_16", 12, 0x10000],
		["R_X86_64_8", 14, 0x100],
		["R_X86_64_PC8", 15, EXTERNAL],
		["R_X86_64_PC32", 2, 0x7fffffff],
	])("%s that does not fit is an error with section and offset", (name, type, target) => {
		const error = failure(() => relocate(type, target, 4));
		expect(error.code).toBe("ELF_RELOCATION_OVERFLOW");
		expect(error.message).toContain(`section '.data' offset 0x10: ${name} to 'target'`);
	});

	it("a type that is not supported is named, with its number", () => {
		const error = failure(() => relocate(19, EXTERNAL, 8));
		expect(error.code).toBe("ELF_BAD_RELOCATION");
		expect(error.message).toContain("R_X86_64_<19>");
	});
});

describe("linkImage", () => {
	const text = new Uint8Array(32).fill(0x90);
	const calls = (symbol: string) => [{ offset: 1, type: 4, symbol, addend: -4 }];

	it("lays out text, rodata and data with their permissions, and fills the rest of the text with int3", () => {
		const { memory, image } = load([committed("vmlinux/funcs.o")], fentry);
		expect(image.regions.map(({ name, perm }) => [name, perm])).toEqual([
			["m:text", PERM.READ | PERM.EXEC],
			["m:rodata", PERM.READ],
			["m:data", PERM.READ | PERM.WRITE],
		]);
		expect(image.end).toBe(BASE + 3 * 4096);
		expect(memory.u8(BASE + 4095)).toBe(0xcc);
		const { address, size } = image.symbol("funcA")!;
		expect(image.symbolAt(address + 7)).toMatchObject({ symbol: { name: "funcA" }, offset: 7 });
		expect(size).toBeGreaterThan(20);
		expect(image.symbolAt(BASE - 1)).toBeUndefined();
		expect(image.symbolAt(image.end)).toBeUndefined();
		expect(memory.u64(image.symbol("last_argument")!.address)).toBe(0xffffffffffffffffn);
		expect(memory.u64(image.symbol("funcB_calls")!.address)).toBe(0n);
	});

	it.each([
		["vmlinux/funcs.o", 0],
		["vmlinux/funcs.ibt.o", 4],
	])("finds the fentry sites of %s, %i bytes into the functions", (file, skip) => {
		const { memory, image } = load([committed(file)], fentry);
		const functions = image.symbols.filter(({ type, name }) => type === "func" && name !== "untraced");
		expect(image.mcountLocs).toEqual(functions.map(({ address }) => address + skip));
		for (const site of image.mcountLocs) {
			expect(memory.u8(site)).toBe(0xe8);
			expect((site + 5 + memory.i32(site + 1)) | 0).toBe(EXTERNAL);
		}
	});

	it("takes patchable function entries in the function as sites, and leaves call padding alone", () => {
		const entries = new Uint8Array(16);
		const relocations = [
			{ offset: 0, type: 1, symbol: "f", addend: 0 },
			{ offset: 8, type: 1, symbol: "f", addend: -8 },
		];
		const { memory, image } = load([
			object(
				[
					{ name: ".text", data: text },
					{ name: "__patchable_function_entries", data: entries, flags: DATA, relocations },
				],
				[{ name: "f", section: ".text", value: 8, size: 24 }],
			),
		]);
		expect(image.mcountLocs).toEqual([BASE + 8]);
		expect([...memory.read(BASE + 8, 5)]).toEqual([0x0f, 0x1f, 0x44, 0, 0]);
		expect(memory.u8(BASE)).toBe(0x90);
	});

	/** One function at 16, behind 16 nops of call padding, as objtool and gcc -fpatchable-function-entry=16,16 describe it. */
	const padded = (mcount: boolean, endbr: number) => {
		const entry = (symbol: string, addend: number) => [{ offset: 0, type: 1, symbol, addend }];
		const list = (name: string, at: ReturnType<typeof entry>) => ({
			...{ name, data: new Uint8Array(8), flags: DATA, relocations: at },
		});
		const code = new Uint8Array(48).fill(0x90);
		code.set([0xe8, 0, 0, 0, 0], 16 + endbr);
		return object(
			[
				{ name: ".text", data: code },
				list("__patchable_function_entries", entry("__pfx_f", 0)),
				...(mcount ? [list("__mcount_loc", entry("f", endbr))] : []),
			],
			[
				{ name: "f", section: ".text", value: 16, size: 32 },
				{ name: "__pfx_f", section: ".text", size: 16, binding: 0 },
			],
		);
	};

	it.each([0, 4])(
		"[rule 10.1] takes __mcount_loc as the sites of a function with call padding, endbr64 of %i bytes",
		(endbr) => {
			const { memory, image } = load([padded(true, endbr)]);
			expect(image.mcountLocs).toEqual([BASE + 16 + endbr]);
			expect([...memory.read(BASE, 16)]).toEqual(Array.from({ length: 16 }, () => 0x90));
		},
	);

	it("takes the padding of no function for a site, also without __mcount_loc", () => {
		expect(load([padded(false, 0)]).image.mcountLocs).toEqual([]);
		// Each object is judged by its own sections.
		const { image } = load([padded(true, 4), { ...padded(false, 0), symbols: [] }]);
		expect(image.mcountLocs).toEqual([BASE + 16 + 4]);
	});

	it("[rule 10.1] calls the padding by the name that kallsyms has for it, and ends the function before it where it begins", () => {
		const { image } = load([padded(true, 4)]);
		expect(image.symbolAt(BASE + 15)).toMatchObject({ symbol: { name: "__pfx_f" }, offset: 15, size: 16 });
		expect(image.symbolAt(BASE + 16)).toMatchObject({ symbol: { name: "f" }, offset: 0 });
	});

	it("refuses an __mcount_loc that points outside the text", () => {
		const relocations = [{ offset: 0, type: 1, symbol: "d", addend: 0 }];
		const error = failure(() =>
			load([
				object(
					[
						{ name: "__mcount_loc", data: new Uint8Array(8), flags: ALLOC, relocations },
						{ name: ".data", data: text, flags: DATA },
					],
					[{ name: "d", section: ".data" }],
				),
			]),
		);
		expect(error.code).toBe("ELF_BAD_MCOUNT");
		expect(error.message).toMatch(/section '__mcount_loc' offset 0x0: 0xffffffff8100/);
	});

	it("names all undefined symbols at once, and maps nothing then", () => {
		const memory = new Memory({ bytes: 1 << 20 });
		const relocations = [...calls("missing_one"), { offset: 9, type: 2, symbol: "missing_two" }];
		const undefinedSymbols = ["missing_one", "missing_two"].map((name) => ({ name, section: "undef" }));
		const objects = [object([{ name: ".text", data: text, relocations }], undefinedSymbols, "user.o")];
		const error = failure(() => linkImage({ name: "m", objects, base: BASE, memory, resolve: () => undefined }));
		expect(error.code).toBe("ELF_UNDEFINED_SYMBOL");
		expect(error.reason).toBe("undefined symbols 'missing_one' (user.o), 'missing_two' (user.o)");
		expect(memory.regions).toEqual([]);
	});

	it("resolves between objects; a strong symbol beats a weak one, whatever the order", () => {
		const user = object(
			[{ name: ".text", data: text, relocations: calls("shared") }],
			[{ name: "shared", section: ".text", value: 16, size: 4, binding: 2 }],
			"weak.o",
		);
		const strong = object([{ name: ".text", data: text }], [{ name: "shared", section: ".text", size: 4 }], "strong.o");
		for (const objects of [
			[user, strong],
			[strong, user],
		]) {
			const { memory, image } = load(objects);
			const [found, ...others] = image.lookup("shared");
			expect(others).toEqual([]);
			expect(found!.object).toBe("strong.o");
			const place = image.sections(".text").find((part) => part.object === "weak.o")!.address + 1;
			expect((place + 4 + memory.i32(place)) | 0).toBe(found!.address);
		}
	});

	it("refuses two strong definitions, naming both files", () => {
		const one = (name: string) => object([{ name: ".text", data: text }], [{ name: "f", section: ".text" }], name);
		const error = failure(() => load([one("one.o"), one("two.o")]));
		expect([error.code, error.where]).toEqual(["ELF_DUPLICATE_SYMBOL", "two.o"]);
		expect(error.reason).toBe("'f' is defined in one.o too");
	});

	it("keeps static functions of one name apart, in order of address (sympos)", () => {
		const { image } = load([committed("vmlinux/funcs.o"), committed("vmlinux/twin.o")], fentry);
		const twins = image.lookup("twin");
		expect(twins.map(({ object: file }) => file)).toEqual(["vmlinux/funcs.o", "vmlinux/twin.o"]);
		expect(twins[0]!.address).toBeLessThan(twins[1]!.address);
		expect(names(image)).not.toContain(".text");
		const addresses = image.symbols.map(({ address }) => address);
		expect(addresses).toEqual(addresses.slice().sort((a, b) => a - b));
	});

	it("gives a common symbol one place, of the largest size", () => {
		const common = (size: number, file: string) =>
			object(
				[{ name: ".data", data: new Uint8Array(8), flags: DATA, relocations: [{ offset: 0, type: 1, symbol: "c" }] }],
				[{ name: "c", section: "common", value: 32, size, type: 1 }],
				file,
			);
		const { memory, image } = load([common(8, "a.o"), common(64, "b.o")]);
		const [symbol] = image.lookup("c");
		expect(symbol).toMatchObject({ size: 64, object: "b.o" });
		expect(symbol!.address & 31).toBe(0);
		for (const { address } of image.sections(".data")) expect(memory.kaddr(address)).toBe(symbol!.address);
	});

	it("unloads: the text is gone, and the place can be used again", () => {
		const { memory, image } = load([committed("vmlinux/funcs.o")], fentry);
		image.unload();
		expect(memory.permissions(BASE)).toBe(0);
		expect(memory.regions).toEqual([]);
		linkImage({ name: "n", objects: [committed("vmlinux/funcs.o")], base: BASE, memory, resolve: fentry });
		expect(memory.permissions(BASE)).toBe(PERM.READ | PERM.EXEC);
	});

	it("refuses an image that would reach past the end of the window", () => {
		const memory = new Memory({ bytes: 1 << 20 });
		const objects = [object([{ name: ".text", data: new Uint8Array(8192), flags: TEXT }], [])];
		const error = failure(() => linkImage({ name: "m", objects, base: -4096, memory, resolve: fentry }));
		expect(error.code).toBe("ELF_NO_SPACE");
		expect(hex(-4096)).toBe("0xfffffffffffff000");
	});
});
