import { decodeBytes } from "../cpu/x86/index.js";

/** One nop of each length that the kernel uses (arch/x86/include/asm/nops.h, ASM_NOP_MAX is 11). */
const NOP8 = [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00];
const NOPS: readonly (readonly number[])[] = [
	...[[], [0x90], [0x66, 0x90], [0x0f, 0x1f, 0x00], [0x0f, 0x1f, 0x40, 0x00], [0x0f, 0x1f, 0x44, 0x00, 0x00]],
	...[[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00], [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00], NOP8],
	...[
		[0x2e, ...NOP8],
		[0x66, 0x2e, ...NOP8],
		[0x66, 0x66, 0x2e, ...NOP8],
	],
];
const INT3 = 0xcc;
const JMP8 = 0xeb;
const JMP32 = 0xe9;

/**
 * Makes each run of nops one instruction (optimize_nops(), add_nop() of arch/x86/kernel/alternative.c): a nop, or a jump over int3 where no
 * nop is long enough. Stops at an instruction that this processor does not have.
 */
export function optimizeNops(code: Uint8Array): void {
	for (let at = 0, next = 0; at < code.length; at = next) {
		const length = lengthAt(code, at);
		if (length === undefined) return;
		next = at + length;
		if (!isNop(code, at) || next === code.length) continue;
		while (next < code.length && isNop(code, next)) next += lengthAt(code, next)!;
		code.set(nop(next - at), at);
	}
}

/** The bytes of the instruction at an offset; undefined if it is not known, or not whole. */
export function lengthAt(code: Uint8Array, at: number): number | undefined {
	const decoded = decodeBytes(code, 0n, at);
	return "error" in decoded ? undefined : decoded.length;
}

/** insn_is_nop(): 90 without f3, and 0f 1f. */
function isNop(code: Uint8Array, at: number): boolean {
	if (lengthAt(code, at) === undefined) return false;
	let opcode = at;
	while (code[opcode] === 0x66 || code[opcode] === 0x2e || code[opcode] === 0x3e) opcode++;
	return code[opcode] === 0x90 || (code[opcode] === 0x0f && code[opcode + 1] === 0x1f);
}

function nop(length: number): Uint8Array {
	const known = NOPS[length];
	if (known !== undefined) return Uint8Array.from(known);
	const out = new Uint8Array(length).fill(INT3);
	if (length < 128) out.set([JMP8, length - 2]);
	else out.set([JMP32, length - 5, 0, 0, 0]);
	return out;
}
