import { type CpuState, type Fault, GS_BASE, RBP, RSP } from "../cpu.js";
import type { Decoded, MemoryOperand } from "../x86/index.js";

/** Four-level paging: bits 63 to 47 are equal (SDM volume 1, 3.3.7.1). */
export function canonical(address: bigint): boolean {
	return BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;
}

/** Exception vectors, SDM volume 3, table 6-1. */
export function interruptFault(vector: number): Fault {
	switch (vector) {
		case 0:
			return { kind: "divide-error" };
		case 1:
			return { kind: "general-protection", detail: "TF is set: single steps are not emulated" };
		case 3:
			return { kind: "breakpoint" };
		case 6:
			return { kind: "invalid-opcode" };
		case 12:
			return { kind: "stack-segment" };
		case 14:
			return { kind: "page-fault" };
		default:
			return { kind: "general-protection" };
	}
}

const PUSHES = new Set(["push", "pushf", "call", "call_indirect", "enter"]);
const POPS = new Set(["pop", "popf", "ret"]);
/** The largest number of bytes in one access. */
const MAX_BYTES = 16n;
/** enter has up to 32 accesses, and room of its own below them. */
const ENTER_BYTES = 0x10200n;

/** The fault of an instruction that has accessed a non-canonical address, with the registers of before. */
export function nonCanonical(decoded: Decoded, state: CpuState, address: bigint): Fault {
	const stack =
		"row" in decoded && stackAddresses(decoded, state).some((known) => near(known, address, decoded.row.semantic));
	return { kind: stack ? "stack-segment" : "general-protection" };
}

function near(known: bigint, address: bigint, semantic: string): boolean {
	const span = semantic === "enter" ? ENTER_BYTES : MAX_BYTES;
	return BigInt.asUintN(64, address - known + span) <= 2n * span;
}

/** Where the instruction accesses the stack segment. */
function stackAddresses({ row, operands }: Extract<Decoded, { row: unknown }>, state: CpuState): bigint[] {
	const addresses: bigint[] = [];
	if (PUSHES.has(row.semantic) || POPS.has(row.semantic)) addresses.push(state.words[RSP]!);
	if (row.semantic === "leave" || row.semantic === "enter") addresses.push(state.words[RBP]!);
	for (const operand of operands) {
		if (operand.kind === "mem" && !operand.gs && (operand.base === RSP || operand.base === RBP)) {
			addresses.push(linear(operand, state));
		}
	}
	return addresses;
}

function linear(operand: MemoryOperand, { words }: CpuState): bigint {
	let address = operand.disp;
	if (operand.base >= 0) address += words[operand.base]!;
	if (operand.index >= 0) address += words[operand.index]! * BigInt(operand.scale);
	if (operand.address32) address = BigInt.asUintN(32, address);
	if (operand.gs) address += words[GS_BASE]!;
	return BigInt.asUintN(64, address);
}
