import type { OpcodeRow } from "../../src/cpu/x86/index.js";
import { CODE, DATA } from "./case.js";
import type { Random } from "./random.js";

/** One way to write an instruction of a row. */
export interface Form {
	/** Operand size in bits. */
	readonly size: 8 | 16 | 32 | 64;
	/** The E operand is memory. */
	readonly memory: boolean;
	readonly lock: boolean;
	/** A locked access may cross a cache line. Hosts delay such an access, or end the program that makes it. */
	readonly split: boolean;
	readonly repeat: "" | "f2" | "f3";
	/** Byte registers 4 to 7 are ah to bh: no REX. */
	readonly high: boolean;
	readonly indirect: boolean;
}

export interface Encoded {
	readonly row: OpcodeRow;
	readonly form: Form;
	readonly bytes: Uint8Array;
	/** The registers in modrm.reg and modrm.rm; rm is meaningless when it is memory. */
	readonly reg: number;
	readonly rm: number;
	readonly immediate: number;
	/** Registers that the memory operand needs, with their contents. */
	readonly pointers: readonly (readonly [number, bigint])[];
	/** The memory operand's address depends neither on where the instruction is nor on an index register. */
	readonly steady: boolean;
}

const MIDDLE = DATA + 0x2000n;
const POINTER = 14;
const INDEX = 15;
/** The same where no REX prefix is possible. */
const HIGH_POINTER = 3;
const HIGH_INDEX = 6;

/** Which forms a row has: sizes, register and memory, lock, rep, high byte registers. */
export function formsOf(row: OpcodeRow): Form[] {
	const first = row.operands.split(",");
	const hasE = first.some((operand) => operand[0] === "E");
	const memoryOnly = first.some((operand) => operand[0] === "M");
	const kinds = memoryOnly ? [true] : hasE ? [false, true] : [false];
	const indirect = row.semantic.endsWith("_indirect");
	const forms: Form[] = [];
	for (const size of sizesOf(row)) {
		for (const memory of kinds) {
			const base = { size, memory, lock: false, split: false, repeat: "" as const, high: false, indirect };
			forms.push(base);
			if (memory && row.lock) forms.push({ ...base, lock: true }, { ...base, lock: true, split: true });
			if (first.some((operand) => /^[EGZ]b$/.test(operand)) && size !== 64) forms.push({ ...base, high: true });
			if (row.string) forms.push({ ...base, repeat: "f2" }, { ...base, repeat: "f3" });
		}
	}
	return forms;
}

function sizesOf(row: OpcodeRow): Form["size"][] {
	const { operands, semantic, default64 } = row;
	if (row.branch) return [64];
	if (default64) return /enter|leave/.test(semantic) ? [64] : [16, 64];
	if (semantic === "bswap" || /Gy|Zy|Mp/.test(operands)) return /Ev/.test(operands) ? [16, 32, 64] : [32, 64];
	if (/[EGZMO]v|AX|Iz/.test(operands) || semantic === "convert" || semantic === "spread") return [16, 32, 64];
	if (row.string) return row.mnemonic.endsWith("b") ? [8] : [16, 32, 64];
	if (/Ed/.test(operands)) return [32, 64];
	return [8];
}

function immediateBytes(row: OpcodeRow, size: number): number {
	let total = 0;
	for (const operand of row.operands.split(",")) {
		if (operand === "Ib" || operand === "Is" || operand === "Jb") total += 1;
		else if (operand === "Iw") total += 2;
		else if (operand === "Iz") total += size === 16 ? 2 : 4;
		else if (operand === "Jz") total += 4;
		else if (operand === "Iv") total += size / 8;
		else if (operand[0] === "O") total += 8;
	}
	return total;
}

function immediate(row: OpcodeRow, length: number, random: Random, forced?: number): Buffer {
	const bytes = Buffer.alloc(length);
	for (let i = 0; i < length; i++) bytes[i] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
	if (/J/.test(row.operands)) {
		bytes.fill(0);
		bytes[0] = random.below(100);
	} else if (/O/.test(row.operands)) bytes.writeBigUInt64LE(MIDDLE + BigInt(random.below(64)));
	else if (row.semantic === "enter") {
		bytes.writeUInt16LE(8 * random.below(20));
		bytes[2] = random.below(40);
	} else if (row.semantic === "ret" && length === 2) bytes.writeUInt16LE(8 * random.below(20));
	else if (forced !== undefined) bytes[length - 1] = forced;
	return bytes;
}

interface Memory {
	readonly modrm: number;
	readonly tail: Buffer;
	readonly ripRelative: boolean;
	readonly gs: boolean;
	readonly pointers: readonly (readonly [number, bigint])[];
}

function memoryOperand(random: Random, base: number, index: number, alignment: number): Memory {
	const byte = (value: number) => Buffer.of(value & 0xff);
	const word = (value: number) => {
		const buffer = Buffer.alloc(4);
		buffer.writeInt32LE(value);
		return buffer;
	};
	const plain = { ripRelative: false, gs: false, pointers: [[base, MIDDLE]] as [number, bigint][] };
	const low = base & 7;
	const any = random.below(100) - 50;
	const offset = any - (any & (alignment - 1));
	switch (random.below(8)) {
		case 0:
			return { ...plain, modrm: 0x40 | low, tail: byte(offset) };
		case 1:
			return { ...plain, modrm: 0x80 | low, tail: word(offset) };
		case 2:
			return { ...plain, modrm: low, tail: Buffer.alloc(0) };
		case 3:
		case 4: {
			const scale = random.below(4);
			const sib = (scale << 6) | ((index & 7) << 3) | low;
			const pointers: [number, bigint][] = [...plain.pointers, [index, BigInt.asUintN(64, BigInt(offset))]];
			return { ...plain, pointers, modrm: 0x44, tail: Buffer.concat([byte(sib), byte(offset)]) };
		}
		case 5:
			return { ...plain, pointers: [], modrm: 0x05, ripRelative: true, tail: word(Number(MIDDLE - CODE) + offset) };
		case 6:
			return { ...plain, pointers: [], modrm: 0x04, gs: true, tail: Buffer.concat([byte(0x25), word(0x200 + offset)]) };
		default:
			return { ...plain, pointers: [], modrm: 0x04, tail: Buffer.concat([byte(0x25), word(Number(MIDDLE) + offset)]) };
	}
}

/** Registers for the reg and rm fields: any but the pointers, and rsp only for byte sizes' sake never. */
function anyRegister(random: Random, high: boolean): number {
	if (high) return random.below(8);
	return random.pick([0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
}

/** xchg with memory locks without a prefix. */
export function isLocked(row: OpcodeRow, form: Form): boolean {
	return form.memory && (form.lock || row.semantic === "xchg");
}

/** Bytes that the address of the memory operand is a multiple of: its size, where it must not cross a cache line. */
function alignmentOf(row: OpcodeRow, form: Form): number {
	if (form.indirect) return 8;
	if (form.split || !isLocked(row, form)) return 1;
	return row.semantic === "cmpxchg8b" ? form.size / 4 : form.size / 8;
}

/** Writes an instruction. `forced` is the immediate's last byte. */
export function encode(row: OpcodeRow, form: Form, random: Random, forced?: number, base = POINTER): Encoded {
	const parts = row.pattern.split(" ");
	const tail = parts.at(-1)!;
	const opcode = parts.filter((part) => /^[0-9a-f]{2}$/.test(part)).map((part) => Number.parseInt(part, 16));
	const hasModrm = tail.startsWith("/");
	const reg =
		tail === "/r" ? anyRegister(random, form.high) : hasModrm ? Number(tail[1]) : anyRegister(random, form.high);
	const rm = anyRegister(random, form.high);
	const prefixes: number[] = [];
	const memory =
		hasModrm && form.memory
			? memoryOperand(random, form.high ? HIGH_POINTER : base, form.high ? HIGH_INDEX : INDEX, alignmentOf(row, form))
			: undefined;
	if (memory?.gs) prefixes.push(0x65);
	if (form.size === 16) prefixes.push(0x66);
	if (row.prefix !== undefined) prefixes.push(Number.parseInt(row.prefix, 16));
	if (form.repeat !== "") prefixes.push(Number.parseInt(form.repeat, 16));
	if (form.lock) prefixes.push(0xf0);
	const wide = form.size === 64 && !row.default64;
	let rex = wide ? 0x48 : 0x40;
	if (tail === "/r" && reg >= 8) rex |= 4;
	if (tail === "+r") {
		opcode[opcode.length - 1]! |= reg & 7;
		if (reg >= 8) rex |= 1;
	}
	if (hasModrm && memory === undefined && rm >= 8) rex |= 1;
	if (memory !== undefined && memory.pointers.length > 0) rex |= base >= 8 ? 1 : 0;
	if (memory !== undefined && memory.pointers.length > 1) rex |= 2;
	const bytes = [...prefixes];
	// Without REX the byte registers 4 to 7 are the high ones; rex 0x40 alone makes them spl to dil.
	if (!form.high && (rex !== 0x40 || /[EGZ]b/.test(row.operands))) bytes.push(rex);
	bytes.push(...opcode);
	if (hasModrm) {
		const field = (tail === "/r" ? reg & 7 : Number(tail[1])) << 3;
		bytes.push(memory === undefined ? 0xc0 | field | (rm & 7) : memory.modrm | field);
		if (memory !== undefined) bytes.push(...memory.tail);
	}
	const constant = immediate(row, immediateBytes(row, form.size), random, forced);
	const all = Buffer.from([...bytes, ...constant]);
	if (memory?.ripRelative) {
		const at = bytes.length - 4;
		all.writeInt32LE(all.readInt32LE(at) - all.length, at);
	}
	return {
		row,
		form,
		bytes: Uint8Array.from(all),
		reg: tail === "/r" || tail === "+r" ? reg : rm,
		rm,
		immediate: constant.length > 0 ? constant[constant.length - 1]! : 0,
		pointers: memory?.pointers ?? [],
		steady: memory !== undefined && !memory.ripRelative && memory.pointers.length < 2,
	};
}
