import { describe, expect, it } from "vitest";
import { type Image, jumpLabelCode, linkImage, parseElf, staticCallCode } from "../../src/elf/index.js";
import { type Kaddr, Memory } from "../../src/memory/index.js";
import { ALLOC, buildObject, DATA, failure, type SectionSpec, type SymbolSpec, TEXT } from "./objects.js";

const BASE = -0x7f000000;
const OUTSIDE = -0x7e000000;
const NOP2 = [0x66, 0x90];
const NOP5 = [0x0f, 0x1f, 0x44, 0x00, 0x00];

type Relocations = NonNullable<SectionSpec["relocations"]>;
const PC32 = 2;
const PC64 = 24;

/** A text of 256 int3 with `code` at the given offsets. */
function text(code: Readonly<Record<number, readonly number[]>>, relocations: Relocations = []): SectionSpec {
	const data = new Uint8Array(256).fill(0xcc);
	for (const [at, bytes] of Object.entries(code)) data.set(bytes, Number(at));
	return { name: ".text", data, flags: TEXT, relocations };
}

/** Words of 8 bytes. */
function data(...words: readonly number[]): SectionSpec {
	return { name: ".data", data: new Uint8Array(new BigUint64Array(words.map(BigInt)).buffer), flags: DATA };
}

const table = (name: string, bytes: Uint8Array, relocations: Relocations = []): SectionSpec => ({
	...{ name, data: bytes, flags: DATA, align: 8, relocations },
});

function load(
	sections: readonly SectionSpec[],
	symbols: readonly SymbolSpec[] = [],
	resolve: (name: string) => Kaddr | undefined = () => undefined,
) {
	const memory = new Memory({ bytes: 1 << 20 });
	const own = sections
		.filter(({ name }) => name === ".text" || name === ".data")
		.map(({ name }) => ({ name, section: name, binding: 0, type: 3 }));
	const objects = [parseElf(buildObject(sections, [...own, ...symbols]), "a.o")];
	return { memory, image: linkImage({ name: "m", objects, base: BASE, memory, resolve }) };
}

const code = ({ memory }: { memory: Memory }, offset: number, size: number) => [...memory.read(BASE + offset, size)];

describe("__jump_table", () => {
	/** A site at 16 with a target, of the key at .data + 16 * index. */
	const entry = (site: number, target: number, key: number, flags = 2): Relocations => [
		{ offset: 0, type: PC32, symbol: ".text", addend: site },
		{ offset: 4, type: PC32, symbol: ".text", addend: target },
		{ offset: 8, type: PC64, symbol: ".data", addend: 16 * key + flags },
	];
	const entries = (...all: Relocations[]) =>
		table(
			"__jump_table",
			new Uint8Array(16 * all.length),
			all.flatMap((own, i) => own.map((one) => ({ ...one, offset: one.offset + 16 * i }))),
		);
	const dataAt = (image: Image) => image.sections(".data")[0]!.address;

	it("leaves a nop where the key is off, and the host can turn it on and off", () => {
		const made = load([text({ 16: NOP5, 32: NOP2 }), data(0, 0), entries(entry(32, 64, 0), entry(16, 200, 0))]);
		const key = dataAt(made.image);
		expect(made.image.jumpEntries).toEqual([
			{ code: BASE + 16, target: BASE + 200, key, branch: false, size: 5 },
			{ code: BASE + 32, target: BASE + 64, key, branch: false, size: 2 },
		]);
		expect([code(made, 16, 5), code(made, 32, 2)]).toEqual([NOP5, NOP2]);
		const on = made.image.jumpEntries.map((jump) => [...jumpLabelCode(jump, true)]);
		expect(on).toEqual([
			[0xe9, 200 - 21, 0, 0, 0],
			[0xeb, 64 - 34],
		]);
		expect(made.image.jumpEntries.map((jump) => [...jumpLabelCode(jump, false)])).toEqual([NOP5, NOP2]);
	});

	it.each([
		["off, unlikely", 0, 0, false],
		["on, unlikely", 1, 0, true],
		["off, likely", 0, 1, true],
		["on, likely", 1, 1, false],
		["below zero, unlikely", 0xffffffff, 0, false],
	])("[rule 10.8] makes the code that the key asks for: %s", (_what, enabled, branch, jumps) => {
		// The file may have either code: the value of the key counts.
		for (const before of [NOP5, [0xe9, 0xeb, 0, 0, 0]]) {
			const made = load([text({ 0: before }), data(enabled, 0), entries(entry(0, 240, 0, branch))]);
			expect(code(made, 0, 5)).toEqual(jumps ? [0xe9, 235, 0, 0, 0] : NOP5);
		}
	});

	it("jumps back over a byte's distance", () => {
		const made = load([text({ 128: NOP2 }), data(1, 0), entries(entry(128, 2, 0))]);
		expect(code(made, 128, 2)).toEqual([0xeb, 0x80]);
	});

	it("finds keys of other images, and names those that nobody has", () => {
		const relocations = [...entry(0, 64, 0).slice(0, 2), { offset: 8, type: PC64, symbol: "key" }];
		const sections = [text({ 0: NOP5 }), data(1, 0), entries(relocations)];
		const symbols = [{ name: "key", section: "undef" }];
		// The key that the resolver gives is the image's own memory here.
		const at = load(sections, symbols, () => BASE).image.sections(".data")[0]!.address;
		expect(load(sections, symbols, () => at).image.jumpEntries).toMatchObject([{ key: at }]);
		expect(failure(() => load(sections, symbols)).reason).toBe("undefined symbol 'key' (a.o)");
		const unmapped = failure(() => load(sections, symbols, () => OUTSIDE));
		expect([unmapped.code, unmapped.where]).toEqual(["ELF_BAD_TABLE", "a.o"]);
		expect(unmapped.reason).toBe(
			"section '__jump_table' offset 0x0: the static key at 0xffffffff82000000 is not in memory",
		);
	});

	it.each([
		["a site outside the text", entry(0x10000, 0, 0), "0xffffffff81010000, 2 bytes, is not in the text"],
		["a target outside the text", entry(16, 0x10000, 0), "0xffffffff81010000, 1 bytes, is not in the text"],
		["other code at the site", entry(17, 0, 0), "there is neither a nop nor the jump at the site"],
		["a short jump to far away", entry(32, 240, 0), "the target is out of reach"],
	])("refuses %s", (_what, bad, message) => {
		const sections = [text({ 16: NOP5, 32: NOP2 }), data(0, 0, 0, 0), entries(entry(16, 0, 1), bad)];
		const error = failure(() => load(sections));
		expect(error.code).toBe("ELF_BAD_TABLE");
		expect(error.reason).toContain("section '__jump_table' offset 0x10: ");
		expect(error.reason).toContain(message);
	});

	it("refuses a table that ends within an entry", () => {
		const error = failure(() => load([text({}), table("__jump_table", new Uint8Array(17))]));
		expect(error.reason).toBe("section '__jump_table' has 17 bytes: not whole entries of 16 bytes");
	});

	it("waits for livepatch relocations of vmlinux, and refuses those of modules", () => {
		const wait = (object: string) => {
			const symbol = `.klp.sym.${object}.key,0`;
			const relocations = [{ offset: 8, type: PC64, symbol }];
			const jumps = {
				...table("__jump_table", new Uint8Array(16), relocations),
				klpRela: `.klp.rela.${object}.__jump_table`,
			};
			return load([text({ 0: NOP5 }), data(1, 0), jumps], [{ name: symbol, section: "livepatch" }]);
		};
		const { image } = wait("vmlinux");
		expect(() => image.jumpEntries).toThrow(/before finalize/);
		expect(failure(() => image.finalize()).reason).toContain("section '__jump_table' offset 0x0");
		expect(failure(() => wait("ext4")).reason).toBe(
			"section '.klp.rela.ext4.__jump_table' (a table that is applied before ext4 is loaded) is not supported",
		);
	});
});

describe(".static_call_sites", () => {
	const CALL = [0xe8, 0, 0, 0, 0];
	const JMP = [0xe9, 0, 0, 0, 0];
	const sites = (...all: (readonly [site: number, key: string, addend: number])[]) =>
		table(
			".static_call_sites",
			new Uint8Array(8 * all.length),
			all.flatMap(([site, key, addend], i) => [
				{ offset: 8 * i, type: PC32, symbol: ".text", addend: site },
				{ offset: 8 * i + 4, type: PC32, symbol: key, addend },
			]),
		);
	/** The key at .data + 0 has a function at 128; the one at +16 none. */
	const keys = { ...data(0, 0, 0, 0), relocations: [{ offset: 0, type: 1, symbol: ".text", addend: 128 }] };
	const to = (site: number, size = 5) => [128 - site - size, 0, 0, 0];

	it("[rule 10.9] call the function of their key, and do nothing where it has none", () => {
		const jcc = [0x0f, 0x84, 0, 0, 0, 0];
		const made = load([
			text({ 0: CALL, 8: CALL, 16: JMP, 24: JMP, 32: jcc }),
			keys,
			sites([0, ".data", 0], [8, ".data", 16], [16, ".data", 1], [24, ".data", 17], [32, ".data", 1]),
		]);
		expect(code(made, 0, 5)).toEqual([0xe8, ...to(0)]);
		expect(code(made, 8, 5)).toEqual(NOP5);
		expect(code(made, 16, 5)).toEqual([0xe9, ...to(16)]);
		expect(code(made, 24, 5)).toEqual([0xc3, 0xcc, 0xcc, 0xcc, 0xcc]);
		expect(code(made, 32, 6)).toEqual([0x0f, 0x84, ...to(32, 6)]);
		const key = made.image.sections(".data")[0]!.address;
		expect(made.image.staticCallSites.map(({ addr, key: of, tail }) => [addr - BASE, of - key, tail])).toEqual([
			[0, 0, false],
			[16, 0, true],
			[32, 0, true],
			[8, 16, false],
			[24, 16, true],
		]);
	});

	it("[rule 10.9] clear eax in place of a call of __static_call_return0, and change when the host says so", () => {
		const made = load([text({ 0: CALL }), keys, sites([0, ".data", 0])], [], (name) =>
			name === "__static_call_return0" ? BASE + 128 : undefined,
		);
		expect(code(made, 0, 5)).toEqual([0x2e, 0x2e, 0x2e, 0x31, 0xc0]);
		const [site] = made.image.staticCallSites;
		expect([...staticCallCode(made.memory, site!, BASE + 133)!]).toEqual([0xe8, 128, 0, 0, 0]);
		expect([...staticCallCode(made.memory, site!, 0)!]).toEqual(NOP5);
		expect(staticCallCode(made.memory, { addr: BASE + 64, tail: false }, BASE)).toBeUndefined();
		expect(staticCallCode(made.memory, { addr: BASE, tail: true }, BASE)).toBeUndefined();
	});

	it("find the key of a trampoline by its name, and go on to call the trampoline where there is none", () => {
		const call = { offset: 1, type: 4, symbol: "__SCT__f", addend: -4 };
		const sections = [text({ 0: CALL }, [call]), keys, sites([0, "__SCT__f", 0])];
		const symbols: SymbolSpec[] = [{ name: "__SCT__f", section: "undef" }];
		const alone = load(sections, symbols, (name) => (name === "__SCT__f" ? OUTSIDE : undefined));
		expect(alone.image.staticCallSites).toEqual([]);
		expect((BASE + 5 + alone.memory.i32(BASE + 1)) | 0).toBe(OUTSIDE);
		const named = load(sections, [...symbols, { name: "__SCK__f", section: ".data", type: 1 }], () => OUTSIDE);
		expect(code(named, 0, 5)).toEqual([0xe8, ...to(0)]);
	});

	it.each([
		["other code", [64, ".data", 0], "no call or jump at the site"],
		["a call that is no tail call", [0, ".data", 1], "no call or jump at the site"],
		["a conditional return", [8, ".data", 17], "no call or jump at the site"],
		["a site outside the text", [0x10000, ".data", 0], "is not in the text"],
		["a key outside of memory", [0, ".data", 0x10000], "is not in memory"],
		["a key that is none", [0, ".data", 8], "the key's function 0x123 is not in the kernel"],
	] as const)("refuses %s", (_what, bad, message) => {
		const own = { ...keys, data: data(0, 0x123, 0, 0).data! };
		const error = failure(() => load([text({ 0: CALL, 8: [0x0f, 0x84, 0, 0, 0, 0] }), own, sites(bad)]));
		expect(error.code).toBe("ELF_BAD_TABLE");
		expect(error.reason).toContain(message);
	});
});

describe(".return_sites and .retpoline_sites", () => {
	const list = (name: string, ...sites: number[]): SectionSpec => ({
		...{ name, data: new Uint8Array(4 * sites.length), flags: ALLOC, align: 4 },
		relocations: sites.map((addend, i) => ({ offset: 4 * i, type: PC32, symbol: ".text", addend })),
	});
	const branch = (offset: number, symbol: string) => ({ offset, type: 4, symbol, addend: -4 });
	const RET = "__x86_return_thunk";
	const RAX = "__x86_indirect_thunk_rax";
	const R11 = "__x86_indirect_thunk_r11";
	const undef = [RET, RAX, R11].map((name) => ({ name, section: "undef" }));

	it("[rule 10.7] are patched as the kernel patches them, though the thunks are there; others call the thunk", () => {
		const calls = [
			...[branch(1, RET), branch(17, RET), branch(33, RAX), branch(49, RAX), branch(66, R11), branch(82, R11)],
			...[branch(98, RAX), branch(115, R11), branch(130, RET), branch(145, RAX)],
		];
		const jmp = [0xe9, 0, 0, 0, 0];
		const call = [0xe8, 0, 0, 0, 0];
		const prefixed = { 64: [0x2e, ...jmp], 80: [0x2e, ...call], 112: [0x2e, 0x0f, 0x85, 0, 0, 0, 0] };
		const jcc = { 96: [0x0f, 0x84, 0, 0, 0, 0], 128: [0x0f, 0x84, 0, 0, 0, 0] };
		const made = load(
			[
				text({ 0: jmp, 16: jmp, 32: jmp, 48: call, 144: call, ...prefixed, ...jcc }, calls),
				list(".return_sites", 0, 128),
				list(".retpoline_sites", 32, 48, 64, 80, 96, 112),
			],
			undef,
			() => OUTSIDE,
		);
		expect(code(made, 0, 5)).toEqual([0xc3, 0xcc, 0xcc, 0xcc, 0xcc]);
		expect((BASE + 21 + made.memory.i32(BASE + 17)) | 0).toBe(OUTSIDE);
		expect((BASE + 149 + made.memory.i32(BASE + 145)) | 0).toBe(OUTSIDE);
		expect(code(made, 32, 5)).toEqual([0xff, 0xe0, 0xcc, 0x66, 0x90]);
		expect(code(made, 48, 5)).toEqual([0xff, 0xd0, 0x0f, 0x1f, 0x00]);
		expect(code(made, 64, 6)).toEqual([0x41, 0xff, 0xe3, 0xcc, 0x66, 0x90]);
		expect(code(made, 80, 6)).toEqual([0x41, 0xff, 0xd3, 0x0f, 0x1f, 0x00]);
		expect(code(made, 96, 6)).toEqual([0x75, 4, 0xff, 0xe0, 0xcc, 0x90]);
		expect(code(made, 112, 7)).toEqual([0x74, 5, 0x41, 0xff, 0xe3, 0xcc, 0x90]);
		expect(code(made, 128, 6)).toEqual([0x75, 4, 0xc3, 0xcc, 0x66, 0x90]);
	});
});

describe("__ex_table and __bug_table", () => {
	const exTable = (insn: number, fixup: number, value: number): SectionSpec => {
		const bytes = new Uint8Array(12);
		new DataView(bytes.buffer).setInt32(8, value, true);
		return table("__ex_table", bytes, [
			{ offset: 0, type: PC32, symbol: ".text", addend: insn },
			{ offset: 4, type: PC32, symbol: ".text", addend: fixup },
		]);
	};

	it("give the fixup of an instruction, with type, register and number", () => {
		const { image } = load([text({}), exTable(16, 32, (-14 << 16) | 0x2000 | (7 << 8) | 17)]);
		expect(image.exceptionEntry(BASE + 16)).toEqual({
			...{ insn: BASE + 16, fixup: BASE + 32, type: "IMM_REG", register: 7, imm: -14, clearAx: false, clearDx: true },
		});
		expect(image.exceptionEntry(BASE + 17)).toBeUndefined();
	});

	it.each([
		["ELF_SPECIAL_SECTION", 16, 9, "offset 0x0 (a fixup of the type EX_TYPE_RDMSR) is not supported"],
		["ELF_SPECIAL_SECTION", 16, 20, "(a fixup of the type EX_TYPE_ZEROPAD)"],
		["ELF_BAD_TABLE", 16, 4, "section '__ex_table' offset 0x0: the type 4 is not known"],
		["ELF_BAD_TABLE", 0x10000, 1, "0xffffffff81010000, 1 bytes, is not in the text"],
	])("%s: an instruction at %i with type %i", (errorCode, insn, type, message) => {
		const error = failure(() => load([text({}), exTable(insn, 32, type)]));
		expect(error.code).toBe(errorCode);
		expect(error.reason).toContain(message);
	});

	it("give the first entry of the ud2 of a WARN()", () => {
		const at = (offset: number, addend: number) => ({ offset, type: PC32, symbol: ".text", addend });
		const { image } = load([text({}), table("__bug_table", new Uint8Array(36), [at(0, 40), at(12, 20), at(24, 40)])]);
		const { address } = image.sections("__bug_table")[0]!;
		expect([20, 40, 41].map((ud2) => image.bugEntry(BASE + ud2))).toEqual([address + 12, address, undefined]);
		const bad = failure(() => load([text({}), table("__bug_table", new Uint8Array(12), [at(0, 0x10000)])]));
		expect(bad.reason).toContain("section '__bug_table' offset 0x0: 0xffffffff81010000, 2 bytes, is not in the text");
	});
});
