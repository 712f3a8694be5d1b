import { hexToBytes, KlpemuError } from "../base/index.js";
import { CpuState, FLAG, GS_BASE, REGISTER_NAMES, RFLAGS, RIP } from "../cpu/index.js";
import { PERM } from "../memory/index.js";

/** Bytes of guest memory that one request may give, code included. */
export const MAX_BYTES = 16 << 20;
/** Default limit of a request, in instructions. */
export const DEFAULT_LIMIT = 1_000_000;

export interface MemoryRange {
	readonly address: bigint;
	readonly bytes: Uint8Array;
	readonly perm: number;
}

/** A checked request: machine code, the registers it starts with, and the memory it finds. */
export interface ExecRequest {
	readonly code: MemoryRange;
	readonly state: CpuState;
	readonly memory: readonly MemoryRange[];
	/** Instructions. */
	readonly limit: number;
}

/** Characters of a wrong value in a message. */
const MAX_SHOWN = 60;
const U64_END = 1n << 64n;
const KEYS = ["id", "code", "at", "regs", "mem", "limit"];
const RANGE_KEYS = ["addr", "hex", "perm"];
const REGISTERS = new Map<string, number>([
	...REGISTER_NAMES.map((name, index): [string, number] => [name, index]),
	["rip", RIP],
	["rflags", RFLAGS],
	["gs_base", GS_BASE],
]);
const SETTABLE_FLAGS = Object.values(FLAG).reduce((all, flag) => all | BigInt(flag), 0n);
/** Bit 1 of rflags reads as 1 always (SDM volume 1, 3.4.3). */
const FIXED_FLAGS = 2n;

/** Checks one request. Throws `EXEC_REQUEST` with the wrong key and the reason. */
export function parseRequest(value: unknown): ExecRequest {
	const request = object(value, "the request", KEYS);
	const at = word(request.at, "at");
	const code = range(at, hexBytes(request.code, "code"), PERM.READ | PERM.EXEC, "code");
	const memory = list(request.mem, "mem").map((item, index) => memoryRange(item, `mem[${index}]`));
	const total = memory.reduce((sum, { bytes }) => sum + bytes.length, code.bytes.length);
	if (total > MAX_BYTES) throw bad(`${total} bytes of code and memory, at most ${MAX_BYTES} are possible`);
	return { code, memory, state: registers(request.regs, at), limit: limit(request.limit) };
}

function bad(message: string): KlpemuError {
	return new KlpemuError("EXEC_REQUEST", message);
}

/** A wrong value for a message: short, and without what is in an array or an object, which may be nested deeply. */
function shown(value: unknown): string {
	if (Array.isArray(value)) return "an array";
	if (typeof value === "object" && value !== null) return "an object";
	const text = JSON.stringify(value) ?? "nothing";
	return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text;
}

function object(value: unknown, what: string, keys: readonly string[]): Record<string, unknown> {
	if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad(`${what} must be an object`);
	for (const key of Object.keys(value)) {
		if (!keys.includes(key))
			throw bad(`${what} has an unknown key '${shown(key).slice(1, -1)}'; known are ${keys.join(", ")}`);
	}
	return value as Record<string, unknown>;
}

function list(value: unknown, what: string): readonly unknown[] {
	if (value === undefined) return [];
	if (!Array.isArray(value)) throw bad(`'${what}' must be an array`);
	return value;
}

/** A 64-bit word: "0x..", a decimal string, or a JSON integer that a double holds exactly. */
function word(value: unknown, what: string): bigint {
	const number =
		typeof value === "string" && /^(0x[0-9a-f]+|[0-9]+)$/i.test(value)
			? BigInt(value)
			: typeof value === "number" && Number.isSafeInteger(value) && value >= 0
				? BigInt(value)
				: undefined;
	if (number === undefined || number >= U64_END) {
		throw bad(`'${what}' must be a 64-bit number such as "0xffffffff81000000", not ${shown(value)}`);
	}
	return number;
}

function hexBytes(value: unknown, what: string): Uint8Array {
	if (typeof value !== "string" || value.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(value)) {
		throw bad(`'${what}' must be bytes in hexadecimal, two digits each`);
	}
	return hexToBytes(value);
}

function range(address: bigint, bytes: Uint8Array, perm: number, what: string): MemoryRange {
	const end = address + BigInt(bytes.length);
	if (end > U64_END) throw bad(`'${what}' runs past the end of the address space`);
	if (!canonical(address) || !canonical(end > address ? end - 1n : end)) {
		throw bad(`'${what}' is at a non-canonical address, where nothing can be`);
	}
	return { address, bytes, perm };
}

function canonical(address: bigint): boolean {
	return BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;
}

function memoryRange(value: unknown, what: string): MemoryRange {
	const item = object(value, what, RANGE_KEYS);
	const bytes = hexBytes(item.hex, `${what}.hex`);
	if (bytes.length === 0) throw bad(`'${what}.hex' is empty`);
	return range(word(item.addr, `${what}.addr`), bytes, permissions(item.perm, `${what}.perm`), what);
}

/** x86 pages that can be written or executed can be read too. */
function permissions(value: unknown, what: string): number {
	if (value === undefined) return PERM.READ | PERM.WRITE;
	if (typeof value !== "string" || !/^(r?w?x?)$/.test(value) || value === "") {
		throw bad(`'${what}' must be some of "rwx", not ${shown(value)}`);
	}
	return PERM.READ | (value.includes("w") ? PERM.WRITE : 0) | (value.includes("x") ? PERM.EXEC : 0);
}

function registers(value: unknown, at: bigint): CpuState {
	const state = new CpuState();
	state.rip = at;
	if (value === undefined) return state;
	for (const [name, given] of Object.entries(object(value, "regs", [...REGISTERS.keys()]))) {
		const content = word(given, `regs.${name}`);
		state.words[REGISTERS.get(name)!] = name === "rflags" ? flags(content) : content;
	}
	return state;
}

function flags(value: bigint): bigint {
	const other = value & ~(SETTABLE_FLAGS | FIXED_FLAGS);
	if (other !== 0n) throw bad(`'regs.rflags' has bits that cannot be set here: 0x${other.toString(16)}`);
	return value | FIXED_FLAGS;
}

function limit(value: unknown): number {
	if (value === undefined) return DEFAULT_LIMIT;
	if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
		throw bad("'limit' must be a number of instructions, 0 or more");
	}
	return value;
}
