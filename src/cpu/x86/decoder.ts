import { once } from "../../base/index.js";
import { type RefusedRow, refusedRows } from "./refused.js";
import { OPCODES, type OpcodeRow } from "./table.js";

/** Operand size in bits. */
export type Size = 8 | 16 | 32 | 64;

export interface RegisterOperand {
	readonly kind: "reg";
	/** Hardware number, 0 to 15. For `high`, 0 to 3 (ah, ch, dh, bh). */
	readonly reg: number;
	readonly high: boolean;
	readonly size: Size;
}

export interface MemoryOperand {
	readonly kind: "mem";
	/** Registers, -1 for none. */
	readonly base: number;
	readonly index: number;
	readonly scale: 1 | 2 | 4 | 8;
	/** Sign-extended displacement; for rip-relative operands the whole address. */
	readonly disp: bigint;
	readonly ripRelative: boolean;
	readonly gs: boolean;
	/** Address-size prefix: the address is truncated to 32 bits before the segment base is added. */
	readonly address32: boolean;
	/** Size of the access in bits; 128 for cmpxchg16b; 0 for lea. */
	readonly size: number;
}

export interface ImmediateOperand {
	readonly kind: "imm";
	/** Already sign- or zero-extended to the operand size, unsigned 64 bits. */
	readonly value: bigint;
	readonly size: Size;
}

export interface RelativeOperand {
	readonly kind: "rel";
	readonly target: bigint;
}

export type Operand = RegisterOperand | MemoryOperand | ImmediateOperand | RelativeOperand;

export interface Instruction {
	readonly row: OpcodeRow;
	readonly address: bigint;
	readonly length: number;
	readonly bytes: Uint8Array;
	/** Operand size in bits. */
	readonly size: Size;
	readonly operands: readonly Operand[];
	readonly lock: boolean;
	readonly repeat: "none" | "rep" | "repne";
	readonly address32: boolean;
	readonly gs: boolean;
}

/** The reason why bytes are not an instruction of the table. `bytes`: the bytes that the decoder has read. */
export interface NotDecoded {
	readonly error: "invalid-opcode" | "general-protection" | "fetch";
	readonly bytes: Uint8Array;
	readonly detail: string;
}

export type Decoded = Instruction | NotDecoded;

export const MAX_INSTRUCTION_BYTES = 15;

interface Candidate<Row = OpcodeRow> {
	readonly row: Row;
	/** modrm.reg must be this; -1: any. */
	readonly digit: number;
	/** The whole modrm byte must be this; -1: any. */
	readonly modrm: number;
	readonly hasModrm: boolean;
}

/** Key: opcode byte, plus 0x100 for 0f, 0x200 for 0f 38. */
type Lookup<Row> = Map<number, Candidate<Row>[]>;

function addRow<Row extends { readonly pattern: string }>(lookup: Lookup<Row>, row: Row): void {
	const parts = row.pattern.split(" ");
	let map = 0;
	let at = 0;
	if (parts[at] === "0f") {
		map = 0x100;
		at++;
		if (parts[at] === "38") {
			map = 0x200;
			at++;
		}
	}
	const opcode = Number.parseInt(parts[at]!, 16);
	const tail = parts[at + 1] ?? "";
	const put = (key: number, candidate: Candidate<Row>): void => {
		const list = lookup.get(key);
		if (list === undefined) lookup.set(key, [candidate]);
		else list.push(candidate);
	};
	if (tail === "+r") {
		for (let r = 0; r < 8; r++) put(map + opcode + r, { row, digit: -1, modrm: -1, hasModrm: false });
	} else if (tail === "/r") put(map + opcode, { row, digit: -1, modrm: -1, hasModrm: true });
	else if (tail.startsWith("/")) put(map + opcode, { row, digit: Number(tail[1]), modrm: -1, hasModrm: true });
	else if (tail !== "") put(map + opcode, { row, digit: -1, modrm: Number.parseInt(tail, 16), hasModrm: true });
	else put(map + opcode, { row, digit: -1, modrm: -1, hasModrm: false });
}

function lookUp<Row extends { readonly pattern: string }>(rows: readonly Row[]): ReadonlyMap<number, Candidate<Row>[]> {
	const lookup: Lookup<Row> = new Map();
	for (const row of rows) addRow(lookup, row);
	return lookup;
}
const LOOKUP = lookUp(OPCODES);
const refusedLookup = once(() => lookUp(refusedRows()));

/** Opcodes without a mandatory prefix that are other instructions, or none, with one. */
const NO_PREFIX: ReadonlySet<number> = new Set([0x101, 0x1ae, 0x1c3]);

class Refused extends Error {
	readonly error: NotDecoded["error"];
	constructor(error: NotDecoded["error"], detail: string) {
		super(detail);
		this.error = error;
	}
}

/** One decode in progress. */
class Reader {
	readonly address: bigint;
	readonly #bytes: Uint8Array;
	readonly #start: number;
	/** The place in #bytes of the next byte. */
	#at: number;
	rex = 0;
	opsize = false;
	address32 = false;
	lock = false;
	rep: "f2" | "f3" | undefined;
	segment: "gs" | "fs" | undefined;
	modrm = -1;
	/** Completes the modrm operand after the immediates: rip-relative operands count from the end of the instruction. */
	memory: { base: number; index: number; scale: 1 | 2 | 4 | 8; disp: bigint; rip: boolean } | undefined;

	constructor(bytes: Uint8Array, start: number, address: bigint) {
		this.#bytes = bytes;
		this.#start = start;
		this.#at = start;
		this.address = address;
	}

	/** How many bytes were read. */
	get length(): number {
		return this.#at - this.#start;
	}

	/** A copy of the bytes that were read. */
	get seen(): Uint8Array {
		return this.#bytes.slice(this.#start, this.#at);
	}

	byte(): number {
		if (this.length >= MAX_INSTRUCTION_BYTES)
			throw new Refused("general-protection", "instruction longer than 15 bytes");
		const value = this.#bytes[this.#at];
		if (value === undefined) throw new Refused("fetch", "instruction bytes are not executable");
		this.#at++;
		return value;
	}

	/** Little-endian, unsigned. */
	word(bytes: number): bigint {
		if (bytes > 4) return this.word(4) | (this.word(bytes - 4) << 32n);
		let value = 0;
		for (let i = 0; i < bytes; i++) value += this.byte() * 2 ** (8 * i);
		return BigInt(value);
	}

	/** Little-endian, sign-extended to 64 bits, of at most four bytes. */
	signed(bytes: number): bigint {
		if (bytes === 0) return 0n;
		let value = this.byte();
		for (let i = 1; i < bytes; i++) value |= this.byte() << (8 * i);
		const unused = 32 - 8 * bytes;
		value = (value << unused) >> unused;
		return value < 0 ? BigInt.asUintN(64, BigInt(value)) : BigInt(value);
	}

	/** Legacy prefixes in any order, then REX, which counts only directly before the opcode. Returns the opcode byte. */
	prefixes(): number {
		for (;;) {
			const value = this.byte();
			if ((value & 0xf0) === 0x40) {
				this.rex = value;
				const next = this.byte();
				if (!this.#legacy(next)) {
					if ((next & 0xf0) !== 0x40) return next;
					// A second REX replaces the first: the loop handles it as if it came first.
					this.#at--;
					this.rex = 0;
					continue;
				}
				this.rex = 0;
			} else if (!this.#legacy(value)) return value;
		}
	}

	#legacy(value: number): boolean {
		if (value === 0x66) this.opsize = true;
		else if (value === 0x67) this.address32 = true;
		else if (value === 0xf0) this.lock = true;
		else if (value === 0xf2) this.rep = "f2";
		else if (value === 0xf3) this.rep = "f3";
		else if (value === 0x64) this.segment = "fs";
		else if (value === 0x65) this.segment = "gs";
		else return value === 0x26 || value === 0x2e || value === 0x36 || value === 0x3e;
		return true;
	}

	get rexW(): boolean {
		return (this.rex & 8) !== 0;
	}

	/** Reads SIB and displacement; registers leave `memory` undefined. SDM volume 2, tables 2-2 and 2-3. */
	modrmTail(): void {
		const mod = this.modrm >> 6;
		const rm = this.modrm & 7;
		if (mod === 3) return;
		let base = rm | ((this.rex & 1) << 3);
		let index = -1;
		let scale: 1 | 2 | 4 | 8 = 1;
		let rip = false;
		let dispBytes = mod === 1 ? 1 : mod === 2 ? 4 : 0;
		if (rm === 4) {
			const sib = this.byte();
			base = (sib & 7) | ((this.rex & 1) << 3);
			index = ((sib >> 3) & 7) | ((this.rex & 2) << 2);
			scale = (1 << (sib >> 6)) as 1 | 2 | 4 | 8;
			if (index === 4) index = -1;
			if ((sib & 7) === 5 && mod === 0) {
				base = -1;
				dispBytes = 4;
			}
		} else if (rm === 5 && mod === 0) {
			base = -1;
			rip = true;
			dispBytes = 4;
		}
		this.memory = { base, index, scale, disp: this.signed(dispBytes), rip };
	}
}

/** The error for an opcode that is not in the table, with the instruction's name if it is known. */
function refuse(reader: Reader, key: number, unknown: string): Refused {
	const candidates = refusedLookup().get(key) ?? [];
	if (candidates.some(({ hasModrm }) => hasModrm) && reader.modrm < 0) reader.modrm = reader.byte();
	const prefix = reader.rep ?? (reader.opsize ? "66" : undefined);
	const fits = ({ row, digit, modrm }: Candidate<RefusedRow>, wanted: string | undefined): boolean =>
		row.prefix === wanted &&
		(digit < 0 || digit === ((reader.modrm >> 3) & 7)) &&
		(modrm < 0 || modrm === reader.modrm);
	const named = (wanted: string | undefined): RefusedRow | undefined =>
		(candidates.find((one) => one.modrm >= 0 && fits(one, wanted)) ?? candidates.find((one) => fits(one, wanted)))?.row;
	const row = named(prefix) ?? named(undefined);
	if (row === undefined) return new Refused("invalid-opcode", unknown);
	if (row.privileged) return new Refused("general-protection", `${row.name}: a privileged instruction, not emulated`);
	return new Refused("invalid-opcode", `${row.name}: not emulated`);
}

function choose(reader: Reader, key: number): Candidate {
	const candidates = LOOKUP.get(key);
	if (candidates === undefined) throw refuse(reader, key, "no such opcode");
	if (candidates[0]!.hasModrm) reader.modrm = reader.byte();
	const digit = (reader.modrm >> 3) & 7;
	let plain: Candidate | undefined;
	for (const candidate of candidates) {
		if (candidate.digit >= 0 && candidate.digit !== digit) continue;
		if (candidate.modrm >= 0 && candidate.modrm !== reader.modrm) continue;
		// With REX.B, f3 90 is an exchange and not pause.
		if (key === 0x90 && candidate.row.prefix !== undefined && (reader.rex & 1) !== 0) continue;
		if (candidate.row.prefix === undefined) {
			if (NO_PREFIX.has(key) && (reader.rep !== undefined || reader.opsize)) continue;
			// 90 is nop, unless REX.B makes it xchg r8, rax.
			if (key === 0x90 && (candidate.row.semantic === "nop") === ((reader.rex & 1) !== 0)) continue;
			if (plain === undefined || candidate.modrm >= 0) plain = candidate;
		} else if (candidate.row.prefix === reader.rep) return candidate;
	}
	if (plain === undefined) throw refuse(reader, key, "no such opcode extension");
	return plain;
}

function operandSize({ rexW, opsize }: Reader, { width }: OpcodeRow): Size {
	switch (width) {
		case "pair":
			return rexW ? 64 : 32;
		case "branch":
			// Near branches ignore the prefix on Intel; push and pop do not.
			return 64;
		case "stack":
			return opsize && !rexW ? 16 : 64;
		case "byte":
			return 8;
		case "long":
			return rexW ? 64 : 32;
		case "any":
			return rexW ? 64 : opsize ? 16 : 32;
	}
}

/** Size in bits for an operand's size letter. */
function letterSize(letter: string, size: Size, reader: Reader): Size {
	switch (letter) {
		case "b":
			return 8;
		case "w":
			return 16;
		case "d":
			return 32;
		case "q":
			return 64;
		case "y":
			return reader.rexW ? 64 : 32;
		default:
			return size;
	}
}

function register(reader: Reader, number: number, size: Size): RegisterOperand {
	const high = size === 8 && reader.rex === 0 && number >= 4 && number < 8;
	return { kind: "reg", reg: high ? number - 4 : number, high, size };
}

/** `length`: of the instruction, from whose end rip-relative operands count. */
function memoryOperand(reader: Reader, bits: number, length: number): MemoryOperand {
	const { base, index, scale, rip } = reader.memory!;
	let { disp } = reader.memory!;
	if (rip) {
		disp = BigInt.asUintN(64, disp + reader.address + BigInt(length));
		if (reader.address32) disp = BigInt.asUintN(32, disp);
	}
	const { address32 } = reader;
	return {
		kind: "mem",
		base,
		index,
		scale,
		disp,
		ripRelative: rip,
		gs: reader.segment === "gs",
		address32,
		size: bits,
	};
}

function immediate(reader: Reader, letter: string, size: Size): ImmediateOperand {
	const bytes =
		letter === "b" || letter === "s" ? 1 : letter === "w" ? 2 : letter === "v" ? size / 8 : size === 16 ? 2 : 4;
	const value = letter === "s" || letter === "z" ? reader.signed(bytes) : reader.word(bytes);
	return { kind: "imm", value: BigInt.asUintN(size, value), size };
}

/** Reads what follows the modrm for an operand: the operand itself, if it is a constant, or the distance of a branch. */
function constant(reader: Reader, code: string, size: Size): ImmediateOperand | bigint | undefined {
	switch (code[0]) {
		case "I":
			return immediate(reader, code[1] ?? "", size);
		case "J":
			return reader.signed(code[1] === "b" ? 1 : 4);
		case "O":
			reader.memory = { base: -1, index: -1, scale: 1, disp: reader.word(reader.address32 ? 4 : 8), rip: false };
	}
	return undefined;
}

/** An operand of an instruction that is `length` bytes long; `read`: its {@link constant}. */
function operand(
	reader: Reader,
	code: string,
	size: Size,
	read: ImmediateOperand | bigint | undefined,
	opcode: number,
	length: number,
): Operand {
	if (typeof read === "object") return read;
	if (read !== undefined) return { kind: "rel", target: BigInt.asUintN(64, reader.address + BigInt(length) + read) };
	if (code === "AL" || code === "CL") return { kind: "reg", reg: code === "AL" ? 0 : 1, high: false, size: 8 };
	if (code === "AX") return { kind: "reg", reg: 0, high: false, size };
	if (code === "1") return { kind: "imm", value: 1n, size: 8 };
	const letter = code[1] ?? "";
	const bits = letterSize(letter, size, reader);
	switch (code[0]) {
		case "G":
			return register(reader, ((reader.modrm >> 3) & 7) | ((reader.rex & 4) << 1), bits);
		case "Z":
			return register(reader, (opcode & 7) | ((reader.rex & 1) << 3), bits);
		case "E":
			if (reader.memory !== undefined) return memoryOperand(reader, bits, length);
			return register(reader, (reader.modrm & 7) | ((reader.rex & 1) << 3), bits);
		case "M":
			if (reader.memory === undefined) throw new Refused("invalid-opcode", "needs a memory operand");
			return memoryOperand(reader, letter === "p" ? 2 * size : letter === "" ? 0 : bits, length);
		case "O":
			return memoryOperand(reader, bits, length);
		default:
			throw new Error(`opcode table: operand '${code}'`);
	}
}

function build(reader: Reader): Instruction {
	let opcode = reader.prefixes();
	let map = 0;
	if (opcode === 0x0f) {
		opcode = reader.byte();
		map = 0x100;
		if (opcode === 0x38) {
			opcode = reader.byte();
			map = 0x200;
		}
	}
	const candidate = choose(reader, map + opcode);
	const row = candidate.row;
	if (candidate.hasModrm) reader.modrmTail();
	const size = operandSize(reader, row);
	const { codes } = row;
	// Loops, and no map(): much code is decoded before an engine has made this function fast.
	const read: (ImmediateOperand | bigint | undefined)[] = [];
	for (let n = 0; n < codes.length; n++) read.push(constant(reader, codes[n]!, size));
	const { length } = reader;
	const operands: Operand[] = [];
	for (let n = 0; n < codes.length; n++) operands.push(operand(reader, codes[n]!, size, read[n], opcode, length));
	if (reader.lock && !(row.lock && operands[0]?.kind === "mem")) {
		throw new Refused("invalid-opcode", `lock prefix on ${row.mnemonic}, which does not allow it`);
	}
	if (reader.segment === "fs" && (operands.some((o) => o.kind === "mem" && o.size !== 0) || row.string)) {
		throw new Refused("invalid-opcode", "fs-relative access: there is no fs base");
	}
	return {
		row,
		address: reader.address,
		length,
		bytes: reader.seen,
		size,
		operands,
		lock: reader.lock,
		repeat: !row.string || reader.rep === undefined ? "none" : reader.rep === "f3" ? "rep" : "repne",
		address32: reader.address32,
		gs: reader.segment === "gs",
	};
}

/**
 * Decodes the instruction at `address`, whose bytes begin at `offset`; bytes behind the end of the array cannot be executed.
 * 64-bit mode, SDM volume 2, chapter 2.
 */
export function decodeBytes(bytes: Uint8Array, address = 0n, offset = 0): Decoded {
	const reader = new Reader(bytes, offset, BigInt.asUintN(64, address));
	try {
		return build(reader);
	} catch (error) {
		if (!(error instanceof Refused)) throw error;
		const { seen } = reader;
		const text = Array.from(seen, (b) => b.toString(16).padStart(2, "0")).join(" ");
		return { error: error.error, bytes: seen, detail: `${text}: ${error.message}` };
	}
}
