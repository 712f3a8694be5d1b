import { decodeBytes, type Instruction, type MemoryOperand } from "../cpu/x86/index.js";
import type { Code } from "./code.js";
import type { ModuleFile, Pointer } from "./module-file.js";

/** Registers by their hardware number, with the values that are known; the others are not. */
export type Registers = ReadonlyMap<number, Pointer>;

/** Hardware numbers of the registers of the first two arguments. */
export const RDI = 7;
export const RSI = 6;

/** The constant that a register holds; undefined if it is none, or not known. */
export function constantOf(value: Pointer | undefined): bigint | undefined {
	return value?.kind === "number" ? value.value : value?.kind === "null" ? 0n : undefined;
}

/** Registers that a called function may change (psABI figure 3.4). */
const CALLER_SAVED = [0, 1, 2, 6, 7, 8, 9, 10, 11];
/** Registers that instructions use without naming them: rax, rcx, rdx, rbx, rsi, rdi. */
const IMPLICIT = [0, 1, 2, 3, 6, 7];
const IMPLICIT_USERS: ReadonlySet<string> = new Set(
	"mul imul1 div idiv convert spread xlat cmpxchg cmpxchg8b cpuid rdtsc rdtscp rdpkru lahf movs stos lods scas cmps loop loope loopne".split(
		" ",
	),
);
/** Instructions that leave their first operand as it is. */
const READERS: ReadonlySet<string> = new Set(
	"cmp test bt push call call_indirect jmp jmp_indirect jcc ret nop loop loope loopne jrcxz int3 ud2 mul imul1 div idiv enter leave".split(
		" ",
	),
);
const R_X86_64_PC32 = 2;
/** No function that enables a livepatch is longer. */
const MAX_DECODED = 64 << 10;

/** What {@link followRegisters} tells about each instruction. */
export interface Visit {
	readonly instruction: Instruction;
	/** Offset in the section. */
	readonly offset: number;
	/** Before the instruction. */
	readonly registers: Registers;
	/** The memory that it writes, if its address is known. */
	readonly store: Extract<Pointer, { kind: "here" }> | undefined;
	/** It writes memory, on the stack or elsewhere; what a push or call writes does not count. */
	readonly writesMemory: boolean;
	/** The address that it puts into a register. */
	readonly address: Extract<Pointer, { kind: "here" }> | undefined;
}

/**
 * Follows the constants and addresses that the registers hold through a function, from its first instruction to the last, for as
 * long as the decoder knows the instructions. Where ways meet, only what all of them agree on is known; at the target of a jump
 * back, nothing is. False if the function was not decoded to its end.
 */
export function followRegisters(file: ModuleFile, code: Code, visit: (visit: Visit) => void): boolean {
	const { instructions, complete } = decodeAll(file, code);
	const backward = new Set<number>();
	for (const { instruction, offset } of instructions) {
		const target = targetOf(instruction);
		if (target !== undefined && target <= offset) backward.add(target);
	}
	const pending = new Map<number, Map<number, Pointer>>();
	let registers = new Map<number, Pointer>();
	let reachable = true;
	for (const { instruction, offset } of instructions) {
		const arriving = pending.get(offset);
		if (arriving !== undefined) registers = reachable ? common(registers, arriving) : arriving;
		else if (!reachable) registers = new Map();
		if (backward.has(offset)) registers = new Map();
		reachable = true;
		const result = resultOf(file, code, instruction, offset, registers);
		visit({
			instruction,
			offset,
			registers,
			store: storeOf(file, code, instruction, offset, registers),
			writesMemory: writesMemory(instruction),
			address: result?.kind === "here" ? result : undefined,
		});
		const target = targetOf(instruction);
		if (target !== undefined && target > offset) {
			const other = pending.get(target);
			pending.set(target, other === undefined ? new Map(registers) : common(other, registers));
		}
		if (/^(jmp|jmp_indirect|ret)$/.test(instruction.row.semantic)) reachable = false;
		step(file, code, instruction, offset, registers);
	}
	return complete;
}

function decodeAll(file: ModuleFile, code: Code) {
	const data = file.object.sections[code.section]?.data ?? new Uint8Array(0);
	const instructions: { instruction: Instruction; offset: number }[] = [];
	const end = Math.min(code.end, data.length);
	const limit = Math.min(end, code.offset + MAX_DECODED);
	let at = code.offset;
	while (at < limit) {
		const instruction = decodeBytes(data, BigInt(at), at);
		if ("error" in instruction) break;
		instructions.push({ instruction, offset: at });
		at += instruction.length;
	}
	return { instructions, complete: at >= end };
}

/** Target of a direct branch within the section. */
function targetOf({ operands, row }: Instruction): number | undefined {
	const [operand] = operands;
	return operand?.kind === "rel" && row.semantic !== "call" ? Number(BigInt.asIntN(64, operand.target)) : undefined;
}

function common(a: ReadonlyMap<number, Pointer>, b: ReadonlyMap<number, Pointer>): Map<number, Pointer> {
	return new Map([...a].filter(([register, value]) => same(value, b.get(register))));
}

function same(a: Pointer, b: Pointer | undefined): boolean {
	return b !== undefined && keyOf(a) === keyOf(b);
}

/** Two pointers with the same key are the same: the kind says which members there are. */
function keyOf(pointer: Pointer): string {
	return Object.values(pointer).join();
}

/** What the instruction leaves in the registers. */
function step(
	file: ModuleFile,
	code: Code,
	instruction: Instruction,
	at: number,
	registers: Map<number, Pointer>,
): void {
	const { row, operands } = instruction;
	const { semantic } = row;
	if (semantic === "call" || semantic === "call_indirect") {
		for (const register of CALLER_SAVED) registers.delete(register);
		return;
	}
	if (IMPLICIT_USERS.has(semantic)) for (const register of IMPLICIT) registers.delete(register);
	const [to, from] = operands;
	if (semantic === "xchg" || semantic === "xadd") {
		if (from?.kind === "reg") registers.delete(from.reg);
	}
	if (to?.kind !== "reg" || READERS.has(semantic)) return;
	const value = resultOf(file, code, instruction, at, registers);
	if (value === undefined) registers.delete(to.reg);
	else registers.set(to.reg, value);
}

/** The value that a mov, lea or xor leaves in its register. */
function resultOf(
	file: ModuleFile,
	code: Code,
	{ row, operands, length }: Instruction,
	at: number,
	registers: Registers,
): Pointer | undefined {
	const [to, from] = operands;
	if (to?.kind !== "reg" || to.size < 32 || from === undefined) return undefined;
	const wide = to.size === 64;
	if (row.semantic === "xor" && from.kind === "reg" && from.reg === to.reg) return { kind: "null" };
	if (row.semantic === "mov" && from.kind === "imm") {
		const relocations = file.relocationsOf(code.section);
		const relocation = relocations.get(at + length - 4) ?? relocations.get(at + length - 8);
		if (relocation !== undefined) return file.target(relocation, 0);
		return from.value === 0n ? { kind: "null" } : { kind: "number", value: from.value };
	}
	if (row.semantic === "mov" && from.kind === "reg") {
		const value = registers.get(from.reg);
		return wide || value?.kind === "number" || value?.kind === "null" ? value : undefined;
	}
	return row.semantic === "lea" && wide && from.kind === "mem"
		? addressOf(file, code, from, at, length, registers)
		: undefined;
}

/** The address of a memory operand, if it is relocated or based on a known register. */
function addressOf(
	file: ModuleFile,
	code: Code,
	operand: MemoryOperand,
	at: number,
	length: number,
	registers: Registers,
): Pointer | undefined {
	if (operand.index >= 0 || operand.gs) return undefined;
	if (operand.base >= 0) {
		const base = registers.get(operand.base);
		if (base?.kind !== "here") return undefined;
		return { ...base, offset: base.offset + Number(BigInt.asIntN(64, operand.disp)) };
	}
	const relocations = file.relocationsOf(code.section);
	for (let place = at + 1; place + 4 <= at + length; place++) {
		const relocation = relocations.get(place);
		// An immediate may be relocated too: it is not relative to rip.
		if (relocation === undefined || (relocation.type === R_X86_64_PC32) !== operand.ripRelative) continue;
		return file.target(relocation, at + length - place);
	}
	return undefined;
}

function writesMemory({ row, operands }: Instruction): boolean {
	return (operands[0]?.kind === "mem" && !READERS.has(row.semantic)) || /^(movs|stos)$/.test(row.semantic);
}

function storeOf(
	file: ModuleFile,
	code: Code,
	instruction: Instruction,
	at: number,
	registers: Registers,
): Visit["store"] {
	const [to] = instruction.operands;
	if (to?.kind !== "mem" || !writesMemory(instruction)) return undefined;
	const address = addressOf(file, code, to, at, instruction.length, registers);
	return address?.kind === "here" ? address : undefined;
}
