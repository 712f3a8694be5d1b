import { CpuState, RBP, RCX, RDI, REGISTER_NAMES, RFLAGS, RIP, RSI, RSP } from "../../src/cpu/index.js";
import { type Case, CODE, DATA, DATA_SIZE, PATTERN_BYTES } from "./case.js";

const END = DATA + BigInt(DATA_SIZE);
const NOT_CANONICAL = 0x4000000010000300n;
/** The last address of the lower half: eight bytes from here are not all canonical. */
const LAST_LOW = 0x7ffffffffffcn;
const STATUS = 0x8d5n;

/** A case by its code in hexadecimal. `registers`: those that matter; `word`: fills the data. */
export function hexCase(name: string, code: string, registers: Readonly<Record<number, bigint>> = {}, word = 0n): Case {
	const { words } = new CpuState();
	words[RSP] = END - 64n;
	words[RIP] = CODE;
	for (const [register, value] of Object.entries(registers)) words[Number(register)] = BigInt.asUintN(64, value);
	const pattern = new BigUint64Array(PATTERN_BYTES / 8).fill(word);
	return {
		name,
		rows: [name],
		code: Uint8Array.from(Buffer.from(code, "hex")),
		state: words,
		pattern: new Uint8Array(pattern.buffer),
		undefinedFlags: 0n,
		notOnHardware: false,
	};
}

/** mov rax, [REGISTER], with a displacement of 0. */
function load(register: number): string {
	const rex = register >= 8 ? "49" : "48";
	const sib = (register & 7) === 4 ? "24" : "";
	return `${rex}8b${(0x40 | (register & 7)).toString(16)}${sib}00`;
}

function nonCanonical(): Case[] {
	const loads = REGISTER_NAMES.map((name, register) =>
		hexCase(`mov rax, [${name}], not canonical`, load(register), { [register]: NOT_CANONICAL }),
	);
	const rsp = { [RSP]: NOT_CANONICAL };
	const rbp = { [RBP]: NOT_CANONICAL };
	const others: [string, string, Record<number, bigint>][] = [
		["push rax", "50", rsp],
		["pop rax", "58", rsp],
		["pushf", "9c", rsp],
		["popf", "9d", rsp],
		["call", "e800000000", rsp],
		["call rax", "ffd0", { ...rsp, 0: CODE }],
		["ret", "c3", rsp],
		["ret 8", "c20800", rsp],
		["enter 16, 0", "c8100000", rsp],
		["leave", "c9", rbp],
		["mov [rbp], rax", "48894500", rbp],
		["lock xadd [rbp], rax", "f0480fc14500", rbp],
		["bt [rbp], eax", "0fa34500", rbp],
		["cmpxchg16b [rbp]", "480fc74d00", rbp],
		["cmpxchg16b [rbp], not aligned", "480fc74d00", { [RBP]: NOT_CANONICAL + 1n }],
		["mov rax, ds:[rbp]", "3e488b4500", rbp],
		["mov rax, gs:[rbp]", "65488b4500", rbp],
		["mov rbp, [rsp + rbp]", "488b2c2c", { ...rbp, [RSP]: 0n }],
		["mov rax, [rax + rbp]", "488b0428", rbp],
		["mov rax, [ebp]", "67488b4500", { [RBP]: NOT_CANONICAL + 0x10000000n }],
		["push [rax]", "ff30", { 0: NOT_CANONICAL }],
		["pop [rax]", "8f00", { 0: NOT_CANONICAL }],
		["movsq", "48a5", { [RSI]: NOT_CANONICAL, [RDI]: DATA }],
		["mov rax, [rbp], over the end of the lower half", "488b4500", { [RBP]: LAST_LOW }],
		["mov rax, [rax], over the end of the lower half", "488b00", { 0: LAST_LOW }],
	];
	return [...loads, ...others.map(([name, code, registers]) => hexCase(`${name}, not canonical`, code, registers))];
}

/** Comparisons that run over the end of the data, or find what they look for before. */
function repeated(): Case[] {
	const cases: Case[] = [];
	for (const [name, prefix] of [
		["repe", "f3"],
		["repne", "f2"],
	] as const) {
		for (const [size, suffix, opcodes] of [
			[1n, "b", ["a6", "ae"]],
			[2n, "w", ["66a7", "66af"]],
			[4n, "d", ["a7", "af"]],
			[8n, "q", ["48a7", "48af"]],
		] as const) {
			for (const [n, opcode] of opcodes.entries()) {
				for (const flags of [0x202n, 0x202n | STATUS]) {
					for (const left of [0n, 3n, 40n]) {
						const rex =
							opcode.length === 4 && opcode.startsWith("66") ? `66${prefix}${opcode.slice(2)}` : prefix + opcode;
						const text = `${name} ${n === 0 ? "cmps" : "scas"}${suffix} of ${left}, with flags 0x${flags.toString(16)}`;
						// The end comes after eight elements, in the middle of one if they are not aligned.
						const [start, skew] = [END - 8n * size, size > 1n && left === 40n ? 1n : 0n];
						const word = name === "repe" ? 0n : 0x0807060504030201n;
						const registers = {
							0: 0n,
							[RCX]: left,
							[RDI]: start + skew,
							[RSI]: start - 0x800n - size,
							[RFLAGS]: flags,
						};
						cases.push(hexCase(text, rex, registers, word));
						if (n === 0)
							cases.push(
								hexCase(`${text}, from`, rex, { ...registers, [RSI]: start + skew, [RDI]: start - 0x800n }, word),
							);
					}
				}
			}
		}
	}
	return cases;
}

/** popf, and then a pushf of what it has made of the flags; AC is not for user programs. */
function flags(): Case[] {
	const bits = [0x4000n, 0x200000n, 0x204000n, 0x204cd5n, 0x10000n, 0x20000n, 0x400000n, 0xffffffff00000000n];
	return bits.flatMap((bit) => [
		hexCase(`popf, pushf, 0x${bit.toString(16)}`, "9d9c", {}, bit | 0x202n),
		hexCase(`popfw, pushf, 0x${bit.toString(16)}`, "669d9c", {}, bit | 0x202n),
		hexCase(`popf, 0x${bit.toString(16)}`, "9d", {}, bit | 0x202n),
	]);
}

function encodings(): Case[] {
	const codes = {
		"movnti [rsp], rax": "480fc30424",
		"movnti [rsp], eax": "0fc30424",
		"movnti [rsp + 8], r9": "4c0fc34c2408",
		"movnti with a register": "0fc3c0",
		"lock movnti": "f00fc30424",
		"ud1 esp, ecx": "0fb9cc",
		"ud1 esp, [rcx]": "0fb921",
		ud2: "0f0b",
	};
	return Object.entries(codes).map(([name, code]) => hexCase(name, code, { 0: 0x1122334455667788n, 9: -1n }));
}

/** What the rows of the table do not show by themselves: kinds of faults, of flags and of encodings. */
export const KINDS: readonly Case[] = [...nonCanonical(), ...repeated(), ...flags(), ...encodings()];
