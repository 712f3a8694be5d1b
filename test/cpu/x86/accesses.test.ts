/** The memory that an instruction touches, by its operands and the registers before it: what the heap check and the explorer ask. */
import { expect, test } from "vitest";
import { CpuState, RAX, RBX, RCX, RDI, RFLAGS, RSI } from "../../../src/cpu/index.js";
import { accessesOf, decodeBytes } from "../../../src/cpu/x86/index.js";

/** `r` or `w`, address from the start of its area, and bytes. */
function touched(hex: string, more: Readonly<Record<number, bigint>> = {}): string[] {
	const instruction = decodeBytes(Uint8Array.from(hex.match(/../g)!, (byte) => Number.parseInt(byte, 16)));
	if ("error" in instruction) throw new Error(`${hex} is no instruction`);
	const state = new CpuState();
	const areas: Readonly<Record<number, string>> = { [RSI]: "rsi", [RDI]: "rdi", [RBX]: "rbx" };
	const base = (index: number) => -0x7f00_0000 + index * 0x10_0000;
	for (const register of [RSI, RDI, RBX]) state.setKaddr(register, base(register));
	for (const [register, value] of Object.entries(more)) state.words[Number(register)] = value;
	return accessesOf(instruction).map(({ reads, writes, address, length }) => {
		const at = address(state);
		const register = [RSI, RDI, RBX].find((one) => Math.abs(at - base(one)) < 0x8_0000)!;
		const distance = at - base(register);
		return `${reads ? "r" : ""}${writes ? "w" : ""} ${areas[register]}${distance < 0 ? "" : "+"}${distance} ${length(state)}`;
	});
}

const BACK = { [RFLAGS]: 0x402n };

test.each<[string, string, Readonly<Record<number, bigint>>, string[]]>([
	["movsb", "a4", {}, ["r rsi+0 1", "w rdi+0 1"]],
	["rep movsq", "f348a5", { [RCX]: 3n }, ["r rsi+0 24", "w rdi+0 24"]],
	["rep movsq, down", "f348a5", { [RCX]: 3n, ...BACK }, ["r rsi-16 24", "w rdi-16 24"]],
	["movsd, down", "a5", BACK, ["r rsi+0 4", "w rdi+0 4"]],
	["rep stosd, of none", "f3ab", { [RCX]: 0n }, ["w rdi+0 0"]],
	["rep stosb, of none, down", "f3aa", { [RCX]: 0n, ...BACK }, ["w rdi+0 0"]],
	["lodsw", "66ad", {}, ["r rsi+0 2"]],
	["repne scasb", "f2ae", { [RCX]: 5n }, ["r rdi+0 5"]],
	["repe cmpsb", "f3a6", { [RCX]: 5n }, ["r rsi+0 5", "r rdi+0 5"]],
	["xlat", "d7", { [RAX]: 0x1234n }, ["r rbx+52 1"]],
	["mov (%rsi), %rax", "488b06", {}, ["r rsi+0 8"]],
	["mov %eax, 8(%rdi)", "894708", {}, ["w rdi+8 4"]],
	["add %eax, (%rdi)", "0107", {}, ["rw rdi+0 4"]],
	["cmp %eax, (%rdi)", "3907", {}, ["r rdi+0 4"]],
	["lea 8(%rdi), %rax", "488d4708", {}, []],
	["bts %rax, (%rdi), bit 130", "480fab07", { [RAX]: 130n }, ["rw rdi+16 8"]],
	["bt %rax, (%rdi), bit -1", "480fa307", { [RAX]: 2n ** 64n - 1n }, ["r rdi-8 8"]],
	["mov (%rdi,%rax,4), %ecx", "8b0c87", { [RAX]: 5n }, ["r rdi+20 4"]],
])("%s", (_, hex, registers, expected) => {
	expect(touched(hex, registers)).toEqual(expected);
});
