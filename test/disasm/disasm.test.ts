import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Disassembler, disasmObject } from "../../src/disasm/index.js";
import { parseElf } from "../../src/elf/index.js";
import { loadCapstone } from "../../src/node/index.js";
import { KERNEL_KO, NO_KERNEL_CORE, skipBecause } from "../support/skip.js";

const object = (name: string) => readFileSync(new URL(`../../asm/prebuilt/vmlinux/${name}`, import.meta.url));

describe("Disassembler", () => {
	it("decodes what traces and tables need, in AT&T syntax", async () => {
		const disassembler = await Disassembler.create(loadCapstone);
		const code = Uint8Array.of(
			0xf3,
			0x0f,
			0x1e,
			0xfa,
			0x0f,
			0x1f,
			0x44,
			0,
			0,
			0xe8,
			0,
			0,
			0,
			0,
			0x48,
			0x89,
			0x44,
			0x24,
			0x50,
		);
		const instructions = disassembler.disassemble(code, 0xffffffff81000000n);
		expect(instructions.map(({ text }) => text)).toEqual([
			"endbr64",
			"nopl (%rax, %rax)",
			"callq 0xffffffff8100000e",
			"movq %rax, 0x50(%rsp)",
		]);
		expect(instructions.at(-1)!.address).toBe(0xffffffff8100000en);
		expect(disassembler.one(code, 0n).text).toBe("endbr64");
	});

	it("goes on behind bytes that are no instruction", async () => {
		const disassembler = await Disassembler.create(loadCapstone);
		const texts = disassembler.disassemble(Uint8Array.of(0x90, 0x06, 0xc3, 0x48), 0n).map(({ text }) => text);
		expect(texts).toEqual(["nop", "(bad)", "retq", "(bad)"]);
	});

	it("does not see where it divides long code, instructions and undecodable bytes alike", async () => {
		const disassembler = await Disassembler.create(loadCapstone);
		// 12 bytes: movq $imm, disp(%rsp). 0x06 begins no instruction.
		const long = [0x48, 0xc7, 0x84, 0x24, 1, 1, 0, 0, 2, 2, 0, 0];
		for (const part of [long, [...long, 0x06], [0x06]]) {
			const count = 300;
			const code = Uint8Array.from({ length: part.length * count }, (_, i) => part[i % part.length]!);
			const texts = disassembler.disassemble(code, 0n).map(({ text }) => text);
			const bad = texts.filter((text) => text === "(bad)").length;
			expect(texts.filter((text) => text.startsWith("movq"))).toHaveLength(part.length > 1 ? count : 0);
			expect(bad).toBe(part === long ? 0 : count);
		}
	});

	it("takes linear time for undecodable bytes", async () => {
		const disassembler = await Disassembler.create(loadCapstone);
		let copied = 0;
		const decoded = disassembler.disassemble(new Uint8Array(1 << 16).fill(0x06), 0n);
		for (const { bytes } of decoded) copied += bytes.length;
		expect(copied).toBe(1 << 16);
	});
});

describe("disasmObject", () => {
	it.each([
		["funcs.o", 0],
		["funcs.ibt.o", 4],
	])("marks functions, fentry sites and relocations of %s", async (name, skip) => {
		const text = disasmObject(object(name), name, await Disassembler.create(loadCapstone));
		expect(text).toContain(`${name}: ELF64 x86-64 relocatable, 7 call sites for ftrace`);
		expect(text.match(/<-- fentry site/g)).toHaveLength(7);
		expect(text.match(/R_X86_64_PLT32 __fentry__-0x4/g)).toHaveLength(7);
		const start = /^([0-9a-f]{16}) <funcA>:$/m.exec(text)!;
		const site = (Number.parseInt(start[1]!, 16) + skip).toString(16).padStart(6);
		expect(text).toMatch(new RegExp(`^${site}: {2}e8 00 00 00 00 +callq \\S+ {3}<-- fentry site$`, "m"));
		expect(text).toMatch(/^[0-9a-f]{16} <twin>: \(local\)$/m);
	});

	it("shows each byte of the code once, relocations behind their instruction", async () => {
		const text = disasmObject(object("funcs.o"), "funcs.o", await Disassembler.create(loadCapstone));
		const lines = [...text.matchAll(/^ *([0-9a-f]+): {2}((?:[0-9a-f]{2}(?: |$))+)/gm)];
		let next = 0;
		for (const [, offset, bytes] of lines) {
			expect(Number.parseInt(offset!, 16)).toBe(next);
			next += bytes!.trim().split(/\s+/).length;
		}
		const places = [...text.matchAll(/^ {10} *([0-9a-f]+): R_X86_64/gm)].map((match) => Number.parseInt(match[1]!, 16));
		const section = parseElf(object("funcs.o"), "funcs.o").sections.find(({ name }) => name === ".text")!;
		expect(places).toHaveLength(section.relocations.length);
		expect(next).toBe(section.size);
		expect(places).toEqual(places.slice().sort((a, b) => a - b));
	});

	it("takes no padding of a kernel's module for a call site", async ({ skip }) => {
		const file = `${KERNEL_KO}/livepatch-sample.ko`;
		if (!existsSync(file)) skipBecause(skip, NO_KERNEL_CORE);
		const text = disasmObject(readFileSync(file), "sample.ko", await Disassembler.create(loadCapstone));
		expect(text).toContain("sample.ko: ELF64 x86-64 relocatable, 3 call sites for ftrace\n");
		expect(text.match(/<-- fentry site/g)).toHaveLength(3);
		expect(text).not.toContain("patchable");
	});
});
