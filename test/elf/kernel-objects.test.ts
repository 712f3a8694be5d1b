import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Image, linkImage, parseElf, type UnwindRow } from "../../src/elf/index.js";
import { knownSection } from "../../src/elf/section-names.js";
import { type Kaddr, Memory, PERM } from "../../src/memory/index.js";
import { KERNEL_CORE, KERNEL_KO, NO_KERNEL_CORE, skipBecause } from "../support/skip.js";

const BASE = -0x7f000000;
/** The rest of the kernel: a place of its own for each symbol that is not defined. */
const REST = -0x40000000;
const REST_SIZE = 1 << 16;

interface Linked {
	readonly image: Image;
	readonly memory: Memory;
	readonly undefinedSymbols: ReadonlySet<string>;
}

function link(path: string): Linked {
	const memory = new Memory({ bytes: 1 << 22 });
	memory.map("rest", REST, REST_SIZE, PERM.READ | PERM.WRITE);
	const places = new Map<string, Kaddr>();
	const resolve = (name: string): Kaddr | undefined => {
		if (name.startsWith("__SCK__")) return undefined;
		const place = places.get(name) ?? REST + 64 * places.size;
		places.set(name, place);
		return place;
	};
	const objects = [parseElf(readFileSync(path), path)];
	const image = linkImage({ name: "m", objects, base: BASE, memory, resolve, percpu: { offset: 0x40, end: 4096 } });
	return { image, memory, undefinedSymbols: new Set(places.keys()) };
}

const functions = (image: Image) =>
	image.symbols.filter(({ type, name, size }) => type === "func" && size > 0 && !name.startsWith("__pfx_"));

describe("the kernel's own objects", () => {
	it("klpemu's core file: sites, keys, per-CPU variables, branches without thunks", ({ skip }) => {
		if (!existsSync(KERNEL_CORE)) skipBecause(skip, NO_KERNEL_CORE);
		const { image, memory } = link(KERNEL_CORE);
		const klp_ftrace_handler = image.symbol("klp_ftrace_handler")!;
		const klp_enable_patch = image.symbol("klp_enable_patch")!;
		// Behind endbr64, if anything calls the function through a pointer.
		expect(image.mcountLocs).toContain(klp_enable_patch.address + 4);
		expect(image.mcountLocs).not.toContain(klp_ftrace_handler.address + 4);
		for (const site of image.mcountLocs) {
			expect(memory.u8(site)).toBe(0xe8);
			expect(image.symbolAt(site)?.symbol.name).not.toMatch(/^__pfx_/);
		}
		expect(image.jumpEntries.map(({ size }) => size).sort()).toEqual([2, 2, 2, 2, 2, 5, 5, 5]);
		for (const { code, size } of image.jumpEntries) {
			expect([...memory.read(code, size)]).toEqual(size === 2 ? [0x66, 0x90] : [0x0f, 0x1f, 0x44, 0, 0]);
		}
		for (const name of ["pcpu_hot", "this_cpu_off", "klp_stack_entries"]) {
			expect(image.symbol(name)!.address, name).toBeGreaterThanOrEqual(0x40);
		}
		// jmp __x86_return_thunk is ret, though the file has the thunk.
		const [text] = parseElf(readFileSync(KERNEL_CORE), KERNEL_CORE).sections.filter(({ name }) => name === ".text");
		const returns = text!.relocations.filter(({ symbol }) => symbol.name === "__x86_return_thunk");
		expect(returns.length).toBeGreaterThan(50);
		const { address } = image.sections(".text")[0]!;
		for (const { offset } of returns) expect(memory.u8(address + offset - 1)).toBe(0xc3);
	});

	const modules = existsSync(KERNEL_KO) ? readdirSync(KERNEL_KO).filter((name) => name.endsWith(".ko")) : [];
	it.each(modules)(
		"%s: each instruction of each function has an unwind row, each section a place in the table",
		(name) => {
			const { image, memory } = link(join(KERNEL_KO, name));
			expect(image.mcountLocs.length).toBeGreaterThan(1);
			for (const { name: function_, address, size } of functions(image)) {
				for (let at = address; at < address + size; at++) {
					expect(image.findRow(at), `${function_}+${at - address}`).toBeDefined();
				}
				expect(memory.u8(address)).not.toBe(0x90);
			}
			const { sections } = parseElf(readFileSync(join(KERNEL_KO, name)), name);
			const plain = /^(?:|\.text|\.r?o?data|\.bss|\.(?:init|exit)\.(?:text|data)|\.rodata\..*)$/;
			for (const { name: section, flags } of sections) {
				if ((flags & 2) !== 0) expect(plain.test(section) || knownSection(section) !== undefined, section).toBe(true);
			}
		},
	);

	it("has the .ko files to test", ({ skip }) => {
		if (modules.length === 0) skipBecause(skip, NO_KERNEL_CORE);
		expect(modules).toHaveLength(18);
	});
});

/** One entry in objtool's words: `.text+4f:type:call sp:sp+8 bp:prevsp-16 signal:0`. */
const DUMPED = /^(\S+)\+([0-9a-f]+):\s*type:(\S+) sp:(\S+) bp:(\S+) signal:(\d)$/;

/** The same words for a row of ours; only what the kernel's own objects have. */
function words(row: UnwindRow | undefined): string {
	if (row === undefined) return "(und)";
	if (row.raOffset === undefined) return "end";
	const register = ["", "", "", "", "sp", "bp"][row.cfaRegister];
	const signed = (value: number) => (value < 0 ? String(value) : `+${value}`);
	const bp = row.saved.find(({ register: saved }) => saved === 5);
	const below = row.csOffset === undefined ? 0 : -168;
	const type = row.csOffset === undefined ? "call" : "regs";
	return [
		`${type} sp:${register}${signed(row.cfaOffset + below)}`,
		`bp:${bp === undefined || type === "regs" ? "(und)" : `prevsp${signed(bp.offset)}`}`,
		`signal:${Number(row.signal)}`,
	].join(" ");
}

/** objtool of the kernel's headers. */
function objtool(): string | undefined {
	const folders = existsSync("/usr/lib") ? readdirSync("/usr/lib").filter((name) => /^linux-kbuild-/.test(name)) : [];
	return folders.map((name) => `/usr/lib/${name}/tools/objtool/objtool.real-x86`).find((path) => existsSync(path));
}

it("reads ORC as objtool prints it, for each entry of the core file", ({ skip }) => {
	const tool = objtool();
	if (!existsSync(KERNEL_CORE)) skipBecause(skip, NO_KERNEL_CORE);
	if (tool === undefined) skipBecause(skip, "there is no objtool: apt-get install linux-headers-6.12-cloud-amd64");
	const { image } = link(KERNEL_CORE);
	const lines = execFileSync(tool, ["--dump=orc", KERNEL_CORE], { encoding: "utf8" }).trim().split("\n");
	expect(lines.length).toBeGreaterThan(400);
	const found = lines.map((line) => DUMPED.exec(line) ?? [line]);
	const wanted: [string, string][] = [];
	const ours: [string, string][] = [];
	for (const [line = "", section = "", offset = "", type = "", sp, bp, signal] of found) {
		const place = image.sections(section)[0]!;
		const at = Number.parseInt(offset, 16);
		// The last entry of a section is at its end.
		if (at >= place.size) continue;
		const told = type === "(und)" || type === "end" ? type : `${type} sp:${sp} bp:${bp} signal:${signal}`;
		wanted.push([line, told]);
		ours.push([line, words(image.findRow(place.address + at))]);
	}
	expect(ours).toEqual(wanted);
});
