import type { Kaddr } from "../../memory/index.js";
import { type CpuState, GS_BASE, RAX, RBX, RCX, RDI, RFLAGS, RSI } from "../cpu.js";
import type { Instruction, MemoryOperand } from "./decoder.js";
import type { Semantic } from "./table.js";

/** An access of an instruction to memory, before the instruction runs. */
export interface MemoryAccess {
	readonly reads: boolean;
	readonly writes: boolean;
	/** The lower half of the first byte's address: that of a kernel address. */
	address(state: CpuState): Kaddr;
	/** In bytes; 0: a repeated instruction makes no access. */
	length(state: CpuState): number;
}

/** Instructions that only write their first operand, only read it, or do not touch it. All others read and write it. */
const WRITES: ReadonlySet<Semantic> = new Set<Semantic>(["mov", "setcc", "pop", "movbe"]);
const READS: ReadonlySet<Semantic> = new Set<Semantic>([
	...(["cmp", "test", "bt", "push", "call_indirect", "jmp_indirect", "mul", "imul1", "div", "idiv"] as const),
]);
const TOUCHES_NOT: ReadonlySet<Semantic> = new Set<Semantic>(["lea", "nop", "ud2"]);
const BITS: ReadonlySet<Semantic> = new Set<Semantic>(["bt", "bts", "btr", "btc"]);
const DF = 0x400;

function effectiveAddress(operand: MemoryOperand): (state: CpuState) => Kaddr {
	const { base, index, scale, gs } = operand;
	const disp = Number(BigInt.asIntN(32, operand.disp));
	return ({ halves }) => {
		let address = disp;
		if (base >= 0) address += halves[2 * base]!;
		if (index >= 0) address += Math.imul(halves[2 * index]!, scale);
		if (gs) address += halves[2 * GS_BASE]!;
		return address | 0;
	};
}

/** A bit string may begin far away from the bit that is meant. */
function bitAddress({ operands: [, index], size }: Instruction, at: (state: CpuState) => Kaddr) {
	if (index?.kind !== "reg") return at;
	return (state: CpuState) => {
		const bit = BigInt.asIntN(size, state.words[index.reg]!);
		return (at(state) + Number(BigInt.asIntN(32, (bit >> BigInt(Math.log2(size))) * BigInt(size / 8)))) | 0;
	};
}

function ofOperand(instruction: Instruction, operand: MemoryOperand, isFirst: boolean): MemoryAccess {
	const { semantic } = instruction.row;
	const at = effectiveAddress(operand);
	const bytes = operand.size / 8;
	return {
		reads: !(isFirst && WRITES.has(semantic)),
		writes: isFirst && !READS.has(semantic),
		address: isFirst && BITS.has(semantic) ? bitAddress(instruction, at) : at,
		length: () => bytes,
	};
}

/** One end of a string instruction: all that it touches, if it is repeated. */
function ofString({ size, repeat }: Instruction, register: number, writes: boolean): MemoryAccess {
	const step = size / 8;
	const count = ({ words }: CpuState) => (repeat === "none" ? 1 : Number(words[RCX]!));
	return {
		reads: !writes,
		writes,
		address: (state) => {
			const start = state.kaddr(register);
			const down = (state.words[RFLAGS]! & BigInt(DF)) !== 0n;
			return down ? (start - step * Math.max(count(state) - 1, 0)) | 0 : start;
		},
		length: (state) => step * count(state),
	};
}

/**
 * The accesses that an instruction makes by its operands, with those of string instructions. Left out are the words that push, pop, call
 * and ret move on the stack.
 */
export function accessesOf(instruction: Instruction): readonly MemoryAccess[] {
	const { semantic, string } = instruction.row;
	if (string) {
		const from = semantic === "stos" || semantic === "scas" ? [] : [ofString(instruction, RSI, false)];
		const to = semantic === "lods" ? [] : [ofString(instruction, RDI, semantic === "movs" || semantic === "stos")];
		return [...from, ...to];
	}
	if (semantic === "xlat") {
		const address = (state: CpuState) => (state.kaddr(RBX) + Number(state.words[RAX]! & 0xffn)) | 0;
		return [{ reads: true, writes: false, address, length: () => 1 }];
	}
	if (TOUCHES_NOT.has(semantic)) return [];
	return instruction.operands.flatMap((operand, index) =>
		operand.kind === "mem" && operand.size > 0 ? [ofOperand(instruction, operand, index === 0)] : [],
	);
}
