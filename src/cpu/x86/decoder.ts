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

/** Reads an operand: a register or memory as prefixes and modrm say, or a constant from the bytes that follow. */
type ReadOperand = (reader: Reader, size: Size) => Operand;

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

/** A row of the table with what decoding needs of it. */
interface Chosen {
	readonly row: OpcodeRow;
	readonly operands: readonly ReadOperand[];
	/** Bytes of its constants, see {@link constantBytes}. */
	readonly constants: readonly string[];
}

/** The rows of an opcode. Code that runs once is decoded before an engine has made this fast, so that what can be known before is. */
interface Opcode {
	readonly hasModrm: boolean;
	/** The only row, whatever prefixes and modrm there are. */
	readonly only: Chosen | undefined;
	/** By modrm.reg, if nothing else decides. */
	readonly byDigit: readonly (Chosen | undefined)[] | undefined;
	readonly candidates: readonly (Candidate & { readonly chosen: Chosen })[];
}

function opcodeOf(key: number, of: readonly Candidate[]): Opcode {
	const candidates = of.map((candidate) => {
		const codes = candidate.row.operands === "" ? [] : candidate.row.operands.split(",");
		const constants = codes.filter((code) => "IJO".includes(code[0]!));
		return { ...candidate, chosen: { row: candidate.row, operands: codes.map(readerOf), constants } };
	});
	const [first] = candidates;
	const plain = key !== 0x90 && !NO_PREFIX.has(key) && candidates.every(({ row }) => row.prefix === undefined);
	const decidesNothing = first!.digit < 0 && first!.modrm < 0 && candidates.length === 1;
	const digits = candidates.every(({ digit }) => digit >= 0);
	const byDigit = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => candidates.find(({ digit }) => digit === n)?.chosen);
	return {
		hasModrm: first!.hasModrm,
		only: plain && decidesNothing ? first!.chosen : undefined,
		byDigit: plain && digits ? byDigit : undefined,
		candidates,
	};
}

/** Prefixes that were read, as bits. */
const PREFIX = { operandSize: 1, address32: 2, lock: 4, f2: 8, f3: 0x10, fs: 0x20, gs: 0x40, none: 0x80 } as const;
/** By byte; 0: no legacy prefix. Those of es, cs, ss and ds do nothing. */
const PREFIX_OF = new Uint8Array(256);
for (const byte of [0x26, 0x2e, 0x36, 0x3e]) PREFIX_OF[byte] = PREFIX.none;
PREFIX_OF[0x66] = PREFIX.operandSize;
PREFIX_OF[0x67] = PREFIX.address32;
PREFIX_OF[0xf0] = PREFIX.lock;
PREFIX_OF[0xf2] = PREFIX.f2;
PREFIX_OF[0xf3] = PREFIX.f3;
PREFIX_OF[0x64] = PREFIX.fs;
PREFIX_OF[0x65] = PREFIX.gs;
const REPEATS = PREFIX.f2 | PREFIX.f3;
const SEGMENTS = PREFIX.fs | PREFIX.gs;

class Refused extends Error {
	readonly error: NotDecoded["error"];
	constructor(error: NotDecoded["error"], detail: string) {
		super(detail);
		this.error = error;
	}
}

/** One decode in progress. */
class Reader {
	readonly bytes: Uint8Array;
	readonly start: number;
	readonly address: bigint;
	/** Behind the last byte that may be read. */
	readonly end: number;
	/** The place in bytes of the next byte. */
	at: number;
	/** PREFIX */
	prefixes: number;
	rex: number;
	/** -1: none. */
	modrm: number;
	/** The byte whose low bits may name a register. */
	opcode: number;
	/** Length of the constants: rip-relative operands count from the end of the instruction, which is behind them. */
	constantBytes: number;

	constructor(bytes: Uint8Array, start: number, address: bigint) {
		this.bytes = bytes;
		this.start = start;
		this.address = address;
		this.end = Math.min(start + MAX_INSTRUCTION_BYTES, bytes.length);
		this.at = start;
		this.prefixes = 0;
		this.rex = 0;
		this.modrm = -1;
		this.opcode = 0;
		this.constantBytes = 0;
	}

	/** A copy of the bytes that were read. */
	get seen(): Uint8Array {
		return this.bytes.slice(this.start, this.at);
	}

	/** `f2`, `f3` or undefined. */
	get rep(): "f2" | "f3" | undefined {
		if ((this.prefixes & REPEATS) === 0) return undefined;
		return (this.prefixes & PREFIX.f2) !== 0 ? "f2" : "f3";
	}

	has(prefix: number): boolean {
		return (this.prefixes & prefix) !== 0;
	}

	byte(): number {
		const { at } = this;
		if (at >= this.end) throw this.#noByte();
		this.at = at + 1;
		return this.bytes[at]!;
	}

	#noByte(): Refused {
		if (this.at - this.start >= MAX_INSTRUCTION_BYTES)
			return new Refused("general-protection", "instruction longer than 15 bytes");
		return new Refused("fetch", "instruction bytes are not executable");
	}

	/** Little-endian, as a signed number, of one to four bytes. */
	number(bytes: number): number {
		const { bytes: text, at } = this;
		if (bytes === 4 && at + 4 <= this.end) {
			this.at = at + 4;
			return text[at]! | (text[at + 1]! << 8) | (text[at + 2]! << 16) | (text[at + 3]! << 24);
		}
		let value = this.byte();
		for (let shift = 8; shift < 8 * bytes; shift += 8) value |= this.byte() << shift;
		const unused = 32 - 8 * bytes;
		return (value << unused) >> unused;
	}

	/** Eight bytes, little-endian, unsigned. */
	quad(): bigint {
		const low = this.number(4) >>> 0;
		return BigInt(low) | (BigInt(this.number(4) >>> 0) << 32n);
	}

	/** Legacy prefixes in any order, then REX, which counts only directly before the opcode. Returns the opcode byte. */
	readPrefixes(): number {
		const { bytes, end } = this;
		for (let { at } = this; at < end; at++) {
			const value = bytes[at]!;
			const prefix = PREFIX_OF[value]!;
			if (prefix !== 0) this.#add(prefix);
			// A second REX replaces the first.
			else if ((value & 0xf0) === 0x40) this.rex = value;
			else {
				this.at = at + 1;
				return value;
			}
		}
		this.at = end;
		throw this.#noByte();
	}

	/** Of several of a kind, the last counts. */
	#add(prefix: number): void {
		this.rex = 0;
		const replaced = (prefix & REPEATS) !== 0 ? REPEATS : (prefix & SEGMENTS) !== 0 ? SEGMENTS : 0;
		this.prefixes = (this.prefixes & ~replaced) | prefix;
	}
}

/** The error for an opcode that is not in the table, with the instruction's name if it is known. */
function refuse(reader: Reader, key: number, unknown: string): Refused {
	const candidates = refusedLookup().get(key) ?? [];
	if (candidates.some(({ hasModrm }) => hasModrm) && reader.modrm < 0) reader.modrm = reader.byte();
	const prefix = reader.rep ?? (reader.has(PREFIX.operandSize) ? "66" : undefined);
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

function choose(reader: Reader, key: number): Chosen {
	const opcode = OPCODE[key] ?? addOpcode(key);
	if (opcode === undefined) throw refuse(reader, key, "no such opcode");
	if (opcode.hasModrm) reader.modrm = reader.byte();
	if (opcode.only !== undefined) return opcode.only;
	const digit = (reader.modrm >> 3) & 7;
	const chosen = opcode.byDigit === undefined ? chooseAmong(reader, key, opcode.candidates) : opcode.byDigit[digit];
	if (chosen === undefined) throw refuse(reader, key, "no such opcode extension");
	return chosen;
}

/** By key: those that were met. A cache. */
const OPCODE: (Opcode | undefined)[] = Array.from({ length: 0x300 });

function addOpcode(key: number): Opcode | undefined {
	const candidates = LOOKUP.get(key);
	if (candidates !== undefined) OPCODE[key] = opcodeOf(key, candidates);
	return OPCODE[key];
}

function chooseAmong(reader: Reader, key: number, candidates: Opcode["candidates"]): Chosen | undefined {
	const digit = (reader.modrm >> 3) & 7;
	const { rep } = reader;
	let plain: Opcode["candidates"][number] | undefined;
	for (const candidate of candidates) {
		if (candidate.digit >= 0 && candidate.digit !== digit) continue;
		if (candidate.modrm >= 0 && candidate.modrm !== reader.modrm) continue;
		// With REX.B, f3 90 is an exchange and not pause.
		if (key === 0x90 && candidate.row.prefix !== undefined && (reader.rex & 1) !== 0) continue;
		if (candidate.row.prefix === undefined) {
			if (NO_PREFIX.has(key) && reader.has(REPEATS | PREFIX.operandSize)) continue;
			// 90 is nop, unless REX.B makes it xchg r8, rax.
			if (key === 0x90 && (candidate.row.semantic === "nop") === ((reader.rex & 1) !== 0)) continue;
			if (plain === undefined || candidate.modrm >= 0) plain = candidate;
		} else if (candidate.row.prefix === rep) return candidate.chosen;
	}
	return plain?.chosen;
}

function operandSize({ rex, prefixes }: Reader, { width }: OpcodeRow): Size {
	const wide = (rex & 8) !== 0;
	const short = (prefixes & PREFIX.operandSize) !== 0;
	switch (width) {
		case "any":
			return wide ? 64 : short ? 16 : 32;
		case "byte":
			return 8;
		case "branch":
			// Near branches ignore the prefix on Intel; push and pop do not.
			return 64;
		case "stack":
			return short && !wide ? 16 : 64;
		case "pair":
		case "long":
			return wide ? 64 : 32;
	}
}

/** Size in bits by an operand's size letter; 0: the operand size. */
const LETTERS: Readonly<Record<string, Size | 0>> = { b: 8, w: 16, d: 32, q: 64 };

/** Bytes of the constants of an instruction. */
function constantBytes(constants: readonly string[], size: Size, reader: Reader): number {
	let bytes = 0;
	for (let n = 0; n < constants.length; n++) {
		const code = constants[n]!;
		bytes +=
			code[0] === "I" ? immediateBytes(code[1], size) : code[0] === "O" ? offsetBytes(reader) : code === "Jb" ? 1 : 4;
	}
	return bytes;
}

function immediateBytes(letter: string | undefined, size: Size): 1 | 2 | 4 | 8 {
	if (letter === "b" || letter === "s") return 1;
	if (letter === "w") return 2;
	if (letter === "v") return (size / 8) as 1 | 2 | 4 | 8;
	return size === 16 ? 2 : 4;
}

const offsetBytes = (reader: Reader): 4 | 8 => (reader.has(PREFIX.address32) ? 4 : 8);

function register(reader: Reader, number: number, size: Size): RegisterOperand {
	const high = size === 8 && reader.rex === 0 && number >= 4 && number < 8;
	return { kind: "reg", reg: high ? number - 4 : number, high, size };
}

/** Reads SIB and displacement of an operand in memory. SDM volume 2, tables 2-2 and 2-3. */
function memory(reader: Reader, bits: number): MemoryOperand {
	const mod = reader.modrm >> 6;
	const rm = reader.modrm & 7;
	let base = rm | ((reader.rex & 1) << 3);
	let index = -1;
	let scale: 1 | 2 | 4 | 8 = 1;
	let ripRelative = false;
	let dispBytes = mod === 1 ? 1 : mod === 2 ? 4 : 0;
	if (rm === 4) {
		const sib = reader.byte();
		base = (sib & 7) | ((reader.rex & 1) << 3);
		index = ((sib >> 3) & 7) | ((reader.rex & 2) << 2);
		scale = (1 << (sib >> 6)) as 1 | 2 | 4 | 8;
		if (index === 4) index = -1;
		if ((sib & 7) === 5 && mod === 0) {
			base = -1;
			dispBytes = 4;
		}
	} else if (rm === 5 && mod === 0) {
		base = -1;
		ripRelative = true;
		dispBytes = 4;
	}
	const disp = dispBytes === 0 ? 0n : displacement(reader, reader.number(dispBytes), ripRelative);
	return {
		kind: "mem",
		base,
		index,
		scale,
		disp,
		ripRelative,
		gs: reader.has(PREFIX.gs),
		address32: reader.has(PREFIX.address32),
		size: bits,
	};
}

/** Sign-extended to 64 bits; rip-relative: from the end of the instruction. */
function displacement(reader: Reader, value: number, ripRelative: boolean): bigint {
	if (!ripRelative) return value < 0 ? BigInt.asUintN(64, BigInt(value)) : BigInt(value);
	const end = reader.at - reader.start + reader.constantBytes;
	return BigInt.asUintN(reader.has(PREFIX.address32) ? 32 : 64, reader.address + BigInt(value + end));
}

/** An operand that a modrm byte names, in memory or in a register. */
function modrmOperand(reader: Reader, bits: Size): Operand {
	if (reader.modrm < 0xc0) return memory(reader, bits);
	return register(reader, (reader.modrm & 7) | ((reader.rex & 1) << 3), bits);
}

function immediate(reader: Reader, letter: string | undefined, size: Size): ImmediateOperand {
	const bytes = immediateBytes(letter, size);
	if (bytes === 8) return { kind: "imm", value: reader.quad(), size };
	const number = reader.number(bytes);
	const isSigned = letter === "s" || letter === "z";
	if (isSigned && size === 64) {
		return { kind: "imm", value: number < 0 ? BigInt.asUintN(64, BigInt(number)) : BigInt(number), size };
	}
	// An unsigned constant is never wider than its operand but in enter, whose second one is a byte.
	const bits = isSigned ? size : Math.min(8 * bytes, size);
	return { kind: "imm", value: BigInt(bits === 32 ? number >>> 0 : number & ((1 << bits) - 1)), size };
}

function relative(reader: Reader, bytes: number): RelativeOperand {
	const distance = reader.number(bytes);
	return { kind: "rel", target: BigInt.asUintN(64, reader.address + BigInt(reader.at - reader.start + distance)) };
}

/** mov between rAX and an absolute address. */
function offsetOperand(reader: Reader, bits: Size): MemoryOperand {
	const address32 = reader.has(PREFIX.address32);
	const disp = address32 ? BigInt(reader.number(4) >>> 0) : reader.quad();
	const gs = reader.has(PREFIX.gs);
	return { kind: "mem", base: -1, index: -1, scale: 1, disp, ripRelative: false, gs, address32, size: bits };
}

/** How to read an operand, by its code in the table. */
function readerOf(code: string): ReadOperand {
	if (code === "AL" || code === "CL") return () => ({ kind: "reg", reg: code === "AL" ? 0 : 1, high: false, size: 8 });
	if (code === "AX") return (_, size) => ({ kind: "reg", reg: 0, high: false, size });
	if (code === "1") return () => ({ kind: "imm", value: 1n, size: 8 });
	const letter = code[1];
	const fixed = LETTERS[letter ?? ""] ?? 0;
	const bits = (reader: Reader, size: Size): Size =>
		fixed !== 0 ? fixed : letter !== "y" ? size : (reader.rex & 8) !== 0 ? 64 : 32;
	switch (code[0]) {
		case "G":
			return (reader, size) =>
				register(reader, ((reader.modrm >> 3) & 7) | ((reader.rex & 4) << 1), bits(reader, size));
		case "Z":
			return (reader, size) => register(reader, (reader.opcode & 7) | ((reader.rex & 1) << 3), bits(reader, size));
		case "E":
			return (reader, size) => modrmOperand(reader, bits(reader, size));
		case "M":
			return (reader, size) => {
				if (reader.modrm >= 0xc0) throw new Refused("invalid-opcode", "needs a memory operand");
				return memory(reader, letter === "p" ? 2 * size : letter === undefined ? 0 : bits(reader, size));
			};
		case "I":
			return (reader, size) => immediate(reader, letter, size);
		case "J":
			return (reader) => relative(reader, letter === "b" ? 1 : 4);
		case "O":
			return (reader, size) => offsetOperand(reader, bits(reader, size));
		default:
			throw new Error(`opcode table: operand '${code}'`);
	}
}

function build(reader: Reader): Instruction {
	let opcode = reader.readPrefixes();
	let map = 0;
	if (opcode === 0x0f) {
		opcode = reader.byte();
		map = 0x100;
		if (opcode === 0x38) {
			opcode = reader.byte();
			map = 0x200;
		}
	}
	reader.opcode = opcode;
	const { row, operands: readers, constants } = choose(reader, map + opcode);
	const size = operandSize(reader, row);
	if (constants.length > 0) reader.constantBytes = constantBytes(constants, size, reader);
	// A loop, and no map(): much code is decoded before an engine has made this function fast.
	const operands: Operand[] = [];
	for (let n = 0; n < readers.length; n++) operands.push(readers[n]!(reader, size));
	if (reader.has(PREFIX.lock | PREFIX.fs)) checkPrefixes(reader, row, operands);
	const { prefixes } = reader;
	return {
		row,
		address: reader.address,
		length: reader.at - reader.start,
		bytes: reader.seen,
		size,
		operands,
		lock: (prefixes & PREFIX.lock) !== 0,
		repeat: !row.string || (prefixes & REPEATS) === 0 ? "none" : (prefixes & PREFIX.f3) !== 0 ? "rep" : "repne",
		address32: (prefixes & PREFIX.address32) !== 0,
		gs: (prefixes & PREFIX.gs) !== 0,
	};
}

function checkPrefixes(reader: Reader, row: OpcodeRow, operands: readonly Operand[]): void {
	if (reader.has(PREFIX.lock) && !(row.lock && operands[0]?.kind === "mem")) {
		throw new Refused("invalid-opcode", `lock prefix on ${row.mnemonic}, which does not allow it`);
	}
	if (reader.has(PREFIX.fs) && (operands.some((o) => o.kind === "mem" && o.size !== 0) || row.string)) {
		throw new Refused("invalid-opcode", "fs-relative access: there is no fs base");
	}
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
