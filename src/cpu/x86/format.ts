import type { Instruction, MemoryOperand, Operand, RegisterOperand } from "./decoder.js";

const WORDS = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
const HIGH = ["ah", "ch", "dh", "bh"];
const LOW = ["al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"];
const POINTERS: Record<number, string> = { 8: "byte ", 16: "word ", 32: "dword ", 64: "qword ", 128: "xmmword " };

function registerName(operand: RegisterOperand): string {
	const { reg, size } = operand;
	if (operand.high) return HIGH[reg]!;
	if (reg >= 8) return `r${reg}${size === 8 ? "b" : size === 16 ? "w" : size === 32 ? "d" : ""}`;
	if (size === 8) return LOW[reg]!;
	return `${size === 64 ? "r" : size === 32 ? "e" : ""}${WORDS[reg]}`;
}

function memoryText(operand: MemoryOperand): string {
	const size = operand.address32 ? 32 : 64;
	const name = (reg: number): string => registerName({ kind: "reg", reg, high: false, size });
	const parts: string[] = [];
	if (operand.base >= 0) parts.push(name(operand.base));
	if (operand.index >= 0) parts.push(`${name(operand.index)}*${operand.scale}`);
	const disp = BigInt.asIntN(64, operand.disp);
	let text = parts.join("+");
	if (parts.length === 0) text = `0x${operand.disp.toString(16)}`;
	else if (disp !== 0n) text += disp < 0n ? `-0x${(-disp).toString(16)}` : `+0x${disp.toString(16)}`;
	return `${POINTERS[operand.size] ?? ""}${operand.gs ? "gs:" : ""}[${text}]`;
}

function operandText(operand: Operand): string {
	switch (operand.kind) {
		case "reg":
			return registerName(operand);
		case "mem":
			return memoryText(operand);
		case "imm":
			return `0x${operand.value.toString(16)}`;
		case "rel":
			return `0x${operand.target.toString(16)}`;
	}
}

/** Intel syntax, for messages; assemblers may not accept it. */
export function format(instruction: Instruction): string {
	const lock = instruction.lock ? "lock " : "";
	const repeat = instruction.repeat === "none" ? "" : `${instruction.repeat} `;
	const sized = instruction.row.string && instruction.size !== 8;
	const suffix = sized ? { 16: "w", 32: "d", 64: "q" }[instruction.size as 16 | 32 | 64] : "";
	const operands = instruction.operands.map(operandText).join(", ");
	return `${lock}${repeat}${instruction.row.mnemonic}${suffix}${operands === "" ? "" : ` ${operands}`}`;
}
