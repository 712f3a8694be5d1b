import { GS_BASE, RIP } from "../../src/cpu/index.js";
import { decodeBytes, type Instruction, type MemoryOperand } from "../../src/cpu/x86/index.js";
import { type Case, CODE } from "./case.js";

const LINE = 64n;

/**
 * Does the instruction at `state`'s rip lock an access that lies in two cache lines? Kernels and hypervisors trap these, delay
 * them by up to half a second, or end the program (`split_lock_detect`): no case for the hardware may have one.
 */
export function splitsLock(given: Case, state: BigUint64Array = given.state): boolean {
	const rip = state[RIP]!;
	const instruction = decodeBytes(given.code.subarray(Number(rip - CODE)), rip);
	if ("error" in instruction) return false;
	const operand = instruction.operands[0];
	if (operand?.kind !== "mem" || !locks(instruction)) return false;
	const bytes = BigInt(operand.size / 8);
	const address = addressOf(operand, instruction, state);
	// cmpxchg16b checks that it is aligned before it locks anything.
	if (bytes === 16n && address % 16n !== 0n) return false;
	return address / LINE !== (address + bytes - 1n) / LINE;
}

function locks(instruction: Instruction): boolean {
	return instruction.lock || instruction.row.semantic === "xchg";
}

function addressOf(operand: MemoryOperand, instruction: Instruction, state: BigUint64Array): bigint {
	let address = operand.disp;
	if (operand.base >= 0) address += state[operand.base]!;
	if (operand.index >= 0) address += state[operand.index]! * BigInt(operand.scale);
	if (operand.gs) address += state[GS_BASE]!;
	const [, bit] = instruction.operands;
	if (/^bt[src]$/.test(instruction.row.semantic) && bit?.kind === "reg") {
		const offset = BigInt.asIntN(instruction.size, state[bit.reg]!);
		address += (offset >> BigInt(Math.log2(instruction.size))) * BigInt(instruction.size / 8);
	}
	return BigInt.asUintN(64, address);
}
