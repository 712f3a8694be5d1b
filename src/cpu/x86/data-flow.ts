import { RAX, RBP, RBX, RCX, RDI, RDX, RSI } from "../cpu.js";
import type { Instruction, Operand } from "./decoder.js";
import type { Semantic } from "./table.js";

/** Beside the numbers of registers: the arithmetic flags, all as one. */
export const FLAGS = 16;

/**
 * What the results of an instruction come from, by registers and {@link FLAGS}. All results come from all inputs, and from the memory that it
 * reads, which are those of accessesOf() and the word of `stack`.
 */
export interface DataFlow {
	/** Their values get into the results. */
	readonly inputs: readonly number[];
	/** Nothing of their old value is left. */
	readonly sets: readonly number[];
	/** A part of their old value is left, or may be. */
	readonly changes: readonly number[];
	/** Nothing is left of the memory that it writes. */
	readonly setsMemory: boolean;
	/** Their values decide where the instruction leads, what it accesses, or whether it faults. */
	readonly decide: readonly number[];
	/** The memory that it reads decides so. */
	readonly memoryDecides: boolean;
	/** The word of the stack that it reads or writes besides; undefined: none. */
	readonly stack: "push" | "pop" | "leave" | undefined;
}

const ARITHMETIC_FLAGS = [..."oszapc"];
const READS_FLAGS: ReadonlySet<Semantic> = new Set<Semantic>([
	...(["adc", "sbb", "rcl", "rcr", "setcc", "cmov", "cmc", "lahf", "pushf"] as const),
]);
const DECIDE_BY_FLAGS: ReadonlySet<Semantic> = new Set<Semantic>(["jcc", "loope", "loopne"]);
/** The first operand is only read. */
const ONLY_READ: ReadonlySet<Semantic> = new Set<Semantic>([
	...([
		"cmp",
		"test",
		"bt",
		"push",
		"call_indirect",
		"jmp_indirect",
		"mul",
		"imul1",
		"div",
		"idiv",
		"nop",
		"ud2",
	] as const),
]);
/** The first operand is only written. */
const ONLY_WRITTEN: ReadonlySet<Semantic> = new Set<Semantic>([
	...(["mov", "movzx", "movsx", "movbe", "lea", "setcc", "pop", "popcnt", "tzcnt", "lzcnt"] as const),
]);
const BOTH_WRITTEN: ReadonlySet<Semantic> = new Set<Semantic>(["xchg", "xadd"]);
/** With two equal registers their result does not depend on them. */
const CLEARS: ReadonlySet<Semantic> = new Set<Semantic>(["xor", "sub"]);
const SHIFTS: ReadonlySet<Semantic> = new Set<Semantic>([
	...(["rol", "ror", "rcl", "rcr", "shl", "shr", "sar", "shld", "shrd"] as const),
]);

interface Implicit {
	readonly in?: readonly number[];
	readonly out?: readonly number[];
	readonly decide?: readonly number[];
}
/** Registers that are not among the operands. */
const IMPLICIT: Partial<Record<Semantic, Implicit>> = {
	mul: { in: [RAX], out: [RAX, RDX] },
	imul1: { in: [RAX], out: [RAX, RDX] },
	// The lower half of the dividend alone cannot make an unsigned division fault.
	div: { in: [RAX, RDX], out: [RAX, RDX], decide: [RDX] },
	idiv: { in: [RAX, RDX], out: [RAX, RDX], decide: [RAX, RDX] },
	cmpxchg: { in: [RAX], out: [RAX] },
	cmpxchg8b: { in: [RAX, RBX, RCX, RDX], out: [RAX, RDX] },
	convert: { in: [RAX], out: [RAX] },
	spread: { in: [RAX], out: [RDX] },
	xlat: { out: [RAX], decide: [RAX, RBX] },
	lahf: { out: [RAX] },
	sahf: { in: [RAX] },
	cpuid: { in: [RAX, RCX], out: [RAX, RBX, RCX, RDX] },
	rdtsc: { out: [RAX, RDX] },
	rdtscp: { out: [RAX, RCX, RDX] },
	rdpkru: { out: [RAX, RDX], decide: [RCX] },
	loop: { decide: [RCX] },
	loope: { decide: [RCX] },
	loopne: { decide: [RCX] },
	jrcxz: { decide: [RCX] },
	movs: { decide: [RSI, RDI] },
	cmps: { decide: [RSI, RDI] },
	lods: { out: [RAX], decide: [RSI] },
	stos: { in: [RAX], decide: [RDI] },
	scas: { in: [RAX], decide: [RDI] },
	enter: { decide: [RBP] },
	leave: { out: [RBP], decide: [RBP] },
};

const STACK: Partial<Record<Semantic, DataFlow["stack"]>> = {
	...{ push: "push", pushf: "push", call: "push", call_indirect: "push", enter: "push" },
	...{ pop: "pop", popf: "pop", ret: "pop", leave: "leave" },
};

const registersOf = (operand: Operand): number[] => {
	if (operand.kind === "reg") return [operand.reg];
	if (operand.kind !== "mem") return [];
	return [operand.base, operand.index].filter((register) => register >= 0);
};

/** A write of 32 or 64 bits leaves nothing of a register's old value. */
const isWhole = (operand: Operand) => operand.kind === "reg" && operand.size >= 32;

/** True if the same value comes out, whatever is in the registers. */
function isCleared({ row, operands: [a, b] }: Instruction): boolean {
	if (!CLEARS.has(row.semantic) || a?.kind !== "reg" || b?.kind !== "reg") return false;
	return a.reg === b.reg && a.high === b.high && isWhole(a);
}

/** The instruction writes all arithmetic flags, whatever its operands are. */
function setsFlags({ row, operands }: Instruction): boolean {
	const written = row.writes + row.undefined;
	if (!ARITHMETIC_FLAGS.every((flag) => written.includes(flag))) return false;
	// A count of zero leaves them.
	if (row.string) return false;
	return !SHIFTS.has(row.semantic) || operands.some((one) => one.kind === "imm" && (one.value & 31n) !== 0n);
}

function inputsOf(instruction: Instruction): number[] {
	const { row, operands } = instruction;
	const { semantic } = row;
	const inputs = [...(IMPLICIT[semantic]?.in ?? [])];
	if (READS_FLAGS.has(semantic)) inputs.push(FLAGS);
	if (isCleared(instruction) || semantic === "nop") return inputs;
	for (const [index, operand] of operands.entries()) {
		const isRead = index > 0 || !(ONLY_WRITTEN.has(semantic) || isThreeOperand(instruction));
		const isAddress = semantic === "lea" && index === 1;
		if ((operand.kind === "reg" && isRead) || isAddress) inputs.push(...registersOf(operand));
	}
	return inputs;
}

/** `imul a, b, constant` does not read a. */
const isThreeOperand = ({ row, operands }: Instruction) => row.semantic === "imul" && operands.length === 3;

function decideOf(instruction: Instruction): number[] {
	const { row, operands, repeat } = instruction;
	const { semantic } = row;
	const decide = [...(IMPLICIT[semantic]?.decide ?? [])];
	if (DECIDE_BY_FLAGS.has(semantic)) decide.push(FLAGS);
	if (row.string && repeat !== "none") decide.push(RCX);
	// All of the dividend is in ax.
	if (semantic === "div" && instruction.size === 8) decide.push(RAX);
	const branches = semantic === "call_indirect" || semantic === "jmp_indirect";
	const divides = semantic === "div" || semantic === "idiv";
	for (const [index, operand] of operands.entries()) {
		if (operand.kind === "mem" && semantic !== "lea" && semantic !== "nop") decide.push(...registersOf(operand));
		if (operand.kind === "reg" && index === 0 && (branches || divides)) decide.push(operand.reg);
	}
	const [string, bit] = operands;
	// The number of a bit says where it is.
	if (/^bt/.test(semantic) && string?.kind === "mem" && bit?.kind === "reg") decide.push(bit.reg);
	return decide;
}

/** Registers that an instruction writes: all of them, and a part of them. */
function outputsOf(instruction: Instruction): { sets: number[]; changes: number[] } {
	const { row, operands, size, repeat } = instruction;
	const { semantic } = row;
	const [sets, changes]: number[][] = [[], []];
	const written = ONLY_READ.has(semantic) || row.branch ? [] : operands.slice(0, BOTH_WRITTEN.has(semantic) ? 2 : 1);
	for (const operand of written) {
		if (operand.kind === "reg") (isWhole(operand) && semantic !== "cmov" ? sets : changes)!.push(operand.reg);
	}
	const small =
		size < 32 || repeat !== "none" || semantic === "lahf" || semantic === "xlat" || semantic.startsWith("cmpxchg");
	(small ? changes : sets)!.push(...(IMPLICIT[semantic]?.out ?? []));
	const flags = (row.writes + row.undefined).match(/[oszapc]/) !== null;
	// rcx, rsi and rdi stop where the memory says.
	if (row.string && flags && repeat !== "none") changes!.push(RCX, RSI, RDI);
	if (setsFlags(instruction)) sets!.push(FLAGS);
	else if (flags) changes!.push(FLAGS);
	return { sets: sets!, changes: changes! };
}

/** What an instruction makes of what. */
export function dataFlowOf(instruction: Instruction): DataFlow {
	const { row, repeat } = instruction;
	const { semantic } = row;
	const setsMemory = ["mov", "setcc", "pop", "movbe", "stos", "movs"].includes(semantic);
	const memoryDecides =
		["call_indirect", "jmp_indirect", "div", "idiv", "ret", "popf"].includes(semantic) ||
		(["cmps", "scas"].includes(semantic) && repeat !== "none");
	return {
		inputs: inputsOf(instruction),
		...outputsOf(instruction),
		setsMemory,
		decide: decideOf(instruction),
		memoryDecides,
		stack: STACK[semantic],
	};
}
