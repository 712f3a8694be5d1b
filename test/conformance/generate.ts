import { GS_BASE, RAX, RBP, RCX, RDI, RDX, RFLAGS, RIP, RSI, RSP } from "../../src/cpu/index.js";
import { decodeBytes, format, OPCODES, type OpcodeRow } from "../../src/cpu/x86/index.js";
import { type Case, CODE, DATA, PATTERN_BYTES } from "./case.js";
import { type Encoded, encode, type Form, formsOf } from "./encode.js";
import type { Random } from "./random.js";

/** Values at which results, carries and overflows change. */
const EDGES = [
	...[0n, 1n, 2n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0xffffn, 0x7fffffffn, 0x80000000n, 0xffffffffn],
	...[0x7fffffffffffffffn, 0x8000000000000000n, 0xfffffffffffffffen, 0xffffffffffffffffn, 0xffffffff80000000n],
];
/** Where the data pointers of a case are, and the stack. */
const MIDDLE = DATA + 0x2000n;
/** Any combination of the flags that a user program can change, but not the direction flag. */
const STATUS_FLAGS = 0x8d5n;
const FLAG_BITS: Readonly<Record<string, bigint>> = {
	c: 1n,
	p: 4n,
	a: 0x10n,
	z: 0x40n,
	s: 0x80n,
	d: 0x400n,
	o: 0x800n,
};
const GS = DATA + 0x800n;
/** Not canonical, be addresses of 48 or of 57 bits. */
const NOT_CANONICAL = 0x4000000010000300n;

/** The processor's own answers (cpuid, rdtsc, rdtscp, rdpkru), and what a user program may not do. */
const NOT_ON_HARDWARE = new Set(["cpuid", "rdtsc", "rdtscp", "rdpkru", "cli", "sti", "stac", "clac"]);

export function rowName(row: OpcodeRow): string {
	return `${row.prefix === undefined ? "" : `${row.prefix} `}${row.pattern} ${row.mnemonic}`;
}

export function edgeOrRandom(random: Random): bigint {
	return random.below(2) === 0 ? EDGES[random.below(EDGES.length)]! : random.word() >> BigInt(random.below(64));
}

/** Registers and pattern for one run of `encoded`; `turn` counts the runs of the same code. */
function inputs(encoded: Encoded, turn: number, random: Random): { state: BigUint64Array; pattern: Uint8Array } {
	const state = new BigUint64Array(19);
	for (let register = 0; register < 16; register++) state[register] = edgeOrRandom(random);
	state[RSP] = MIDDLE - 0x800n + BigInt(8 * random.below(8));
	state[RIP] = CODE;
	state[RFLAGS] = 0x202n | (random.word() & STATUS_FLAGS);
	state[GS_BASE] = GS;
	const pattern = new BigUint64Array(PATTERN_BYTES / 8);
	for (let index = 0; index < pattern.length; index++) pattern[index] = edgeOrRandom(random);
	const { semantic } = encoded.row;
	if (/^(shl|shr|sar|rol|ror|rcl|rcr|shld|shrd)$/.test(semantic))
		state[RCX] = (state[RCX]! & ~0xffn) | BigInt(turn & 0xff);
	if (encoded.row.string) stringInputs(state, turn, random);
	if (semantic === "div" || semantic === "idiv") divisionInputs(state, pattern, turn, random);
	if (/^bt/.test(semantic) && encoded.form.memory) {
		state[encoded.reg] = BigInt.asUintN(64, BigInt(random.below(16384) - 8192));
	}
	if (semantic === "rdpkru") state[RCX] = BigInt(turn % 2);
	if (/^loop|jrcxz/.test(semantic)) state[RCX] = BigInt(turn % 3);
	if (semantic === "enter" || semantic === "leave") state[RBP] = MIDDLE + BigInt(8 * random.below(8));
	if (semantic === "xlat") state[3] = MIDDLE;
	if (semantic === "cmpxchg8b" && turn % 2 === 0) compareEqual(state, pattern, encoded);
	if (semantic === "popf") for (let i = 0; i < 8; i++) pattern[i] = 0x202n | (random.word() & 0x204cd5n);
	const bad = turn % 3 === 2;
	if (semantic === "ret")
		for (let i = 0; i < 8; i++) pattern[i] = bad ? NOT_CANONICAL : CODE + BigInt(0x100 + random.below(256));
	if (encoded.form.indirect && !encoded.form.memory) state[encoded.rm] = bad ? NOT_CANONICAL : CODE + 0x200n;
	if (encoded.form.indirect && encoded.form.memory) pattern.fill(bad ? NOT_CANONICAL : CODE + 0x300n);
	for (const [register, value] of encoded.pointers) state[register] = value;
	return { state, pattern: new Uint8Array(pattern.buffer) };
}

function stringInputs(state: BigUint64Array, turn: number, random: Random): void {
	state[RSI] = MIDDLE + BigInt(random.below(64));
	state[RDI] = MIDDLE - 0x400n + BigInt(random.below(64));
	state[RCX] = BigInt([0, 1, 2, 3, 17, 64][turn % 6]!);
	if (turn % 2 === 1) state[RFLAGS]! |= 0x400n;
	// Equal strings, so that repe goes on.
	if (turn % 4 === 0) state[RDI] = state[RSI]! - 0x400n;
}

function divisionInputs(state: BigUint64Array, pattern: BigUint64Array, turn: number, random: Random): void {
	if (turn % 3 === 0) return;
	// Quotients that fit: a small or sign-extended high half.
	state[RDX] = turn % 3 === 1 ? 0n : BigInt.asUintN(64, BigInt.asIntN(64, state[RAX]!) >> 63n);
	for (let index = 0; index < pattern.length; index++) if (pattern[index] === 0n) pattern[index] = random.word();
}

function compareEqual(state: BigUint64Array, pattern: BigUint64Array, encoded: Encoded): void {
	pattern.fill(pattern[0]!);
	const wide = encoded.form.size === 64;
	state[RAX] = wide ? pattern[0]! : pattern[0]! & 0xffffffffn;
	state[RDX] = wide ? pattern[0]! : pattern[0]! >> 32n;
}

/** Which flags are undefined depends on the count of shifts and rotates (SDM volume 2, their descriptions). */
function undefinedFlags(encoded: Encoded, state: BigUint64Array): bigint {
	const { row, form } = encoded;
	const bits = (letters: string) => [...letters].reduce((all, letter) => all | FLAG_BITS[letter]!, 0n);
	if (!/^(shl|shr|sar|rol|ror|rcl|rcr)$/.test(row.semantic)) return bits(row.undefined);
	const given = row.operands.endsWith("1")
		? 1
		: row.operands.endsWith("CL")
			? Number(state[RCX]! & 0xffn)
			: encoded.immediate;
	const count = given & (form.size === 64 ? 63 : 31);
	if (count === 0) return 0n;
	const rotate = row.semantic.startsWith("r");
	if (rotate) return count === 1 ? 0n : bits("o");
	if (count === 1) return bits("a");
	return bits(count >= form.size ? "oac" : "oa");
}

/** shld and shrd of 16 bits by more than 16: everything is undefined. */
function meaningless(encoded: Encoded, state: BigUint64Array): boolean {
	const { row, form } = encoded;
	if (!/^sh[lr]d$/.test(row.semantic) || form.size !== 16) return false;
	return ((row.operands.endsWith("CL") ? Number(state[RCX]! & 0xffn) : encoded.immediate) & 31) > 16;
}

function shiftDouble(encoded: Encoded, state: BigUint64Array): bigint {
	const count =
		(encoded.row.operands.endsWith("CL") ? Number(state[RCX]! & 0xffn) : encoded.immediate) &
		(encoded.form.size === 64 ? 63 : 31);
	if (count === 0) return 0n;
	return count === 1 ? 0x10n : 0x810n;
}

function turns(row: OpcodeRow): number {
	if (/^(shl|shr|sar|rol|ror|rcl|rcr|shld|shrd)$/.test(row.semantic) && row.operands.endsWith("CL")) return 256;
	return row.writes === "" && !row.string ? 6 : 24;
}

/** Encodings of a row: every immediate count for shifts, one otherwise. */
function encodings(row: OpcodeRow, form: Form, random: Random): Encoded[] {
	const shift = /^(shl|shr|sar|rol|ror|rcl|rcr|shld|shrd)$/.test(row.semantic) && row.operands.endsWith("Ib");
	if (!shift) return [encode(row, form, random)];
	return Array.from({ length: form.memory ? 8 : 66 }, (_, count) => encode(row, form, random, count));
}

/** All the cases of one row of the opcode table, cases with the same code next to each other. */
export function casesOf(row: OpcodeRow, random: Random): Case[] {
	const cases: Case[] = [];
	for (const form of formsOf(row)) {
		for (const encoded of encodings(row, form, random)) {
			const shift = row.operands.endsWith("Ib") && /^(sh|sa|ro|rc)/.test(row.semantic);
			for (let turn = 0; turn < (shift ? 3 : turns(row)); turn++) {
				const { state, pattern } = inputs(encoded, turn, random);
				if (meaningless(encoded, state)) continue;
				const double = /^sh[lr]d$/.test(row.semantic);
				cases.push({
					name: nameOf(encoded.bytes),
					rows: [rowName(row)],
					code: encoded.bytes,
					state,
					pattern,
					undefinedFlags: double ? shiftDouble(encoded, state) : undefinedFlags(encoded, state),
					notOnHardware: NOT_ON_HARDWARE.has(row.semantic) || form.split,
				});
			}
		}
	}
	return cases;
}

function nameOf(bytes: Uint8Array): string {
	const decoded = decodeBytes(bytes, CODE);
	const text = "length" in decoded ? format(decoded) : `not decoded: ${decoded.detail}`;
	return `${Buffer.from(bytes).toString("hex")} ${text}`;
}

export const TABLE: readonly OpcodeRow[] = OPCODES;
