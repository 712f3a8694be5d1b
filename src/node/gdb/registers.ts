import { GS_BASE, RAX, RBP, RBX, RCX, RDI, RDX, REGISTER_NAMES, RFLAGS, RIP, RSI, RSP } from "../../cpu/index.js";
import type { ThreadState } from "./threads.js";

/** A register of the target description, in gdb's order: its words, or a constant; undefined: it is not emulated. */
interface Register {
	readonly name: string;
	readonly bits: 32 | 64 | 80;
	readonly type: string;
	readonly value: ((thread: ThreadState) => bigint) | undefined;
}

const word =
	(index: number) =>
	({ words }: ThreadState): bigint =>
		words[index]!;
const general = (index: number): Register => {
	const name = REGISTER_NAMES[index]!;
	const type = index === RSP || index === RBP ? "data_ptr" : "int64";
	return { name, bits: 64, type, value: word(index) };
};
/** The kernel's selectors (arch/x86/include/asm/segment.h): __KERNEL_CS, __KERNEL_DS; 0 for the others, as in 64-bit code. */
const segment = (name: string, value: bigint): Register => ({ name, bits: 32, type: "int32", value: () => value });
/** The x87 registers: gdb wants them, and kernel code does not use them. */
const unavailable = (name: string, bits: 32 | 80): Register => {
	return { name, bits, type: bits === 80 ? "i387_ext" : "int", value: undefined };
};

const CORE: readonly Register[] = [
	...[RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, 8, 9, 10, 11, 12, 13, 14, 15].map(general),
	{ name: "rip", bits: 64, type: "code_ptr", value: word(RIP) },
	{ name: "eflags", bits: 32, type: "i386_eflags", value: word(RFLAGS) },
	...[
		segment("cs", 0x10n),
		segment("ss", 0x18n),
		segment("ds", 0n),
		segment("es", 0n),
		segment("fs", 0n),
		segment("gs", 0n),
	],
	...Array.from({ length: 8 }, (_, index) => unavailable(`st${index}`, 80)),
	...["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"].map((name) => unavailable(name, 32)),
];
const SEGMENTS: readonly Register[] = [
	{ name: "fs_base", bits: 64, type: "int", value: () => 0n },
	{ name: "gs_base", bits: 64, type: "int", value: word(GS_BASE) },
];
export const REGISTERS: readonly Register[] = [...CORE, ...SEGMENTS];

/** A register as hex digits, little-endian; `x` for what is not known. */
export function registerHex(register: Register, thread: ThreadState): string {
	const digits = register.bits / 4;
	if (register.value === undefined) return "x".repeat(digits);
	const value = BigInt.asUintN(register.bits, register.value(thread)).toString(16).padStart(digits, "0");
	return value.match(/../g)!.reverse().join("");
}

const FLAGS = ["CF", "", "PF", "", "AF", "", "ZF", "SF", "TF", "IF", "DF", "OF"];

function feature(name: string, registers: readonly Register[], types = ""): string {
	const lines = registers.map((one) => `<reg name="${one.name}" bitsize="${one.bits}" type="${one.type}"/>`);
	return `<feature name="${name}">${types}${lines.join("")}</feature>`;
}

/** The target description (GDB manual, G.5.4 "i386 Features"). */
export const TARGET_XML = [
	'<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">',
	"<architecture>i386:x86-64</architecture>",
	feature(
		"org.gnu.gdb.i386.core",
		CORE,
		`<flags id="i386_eflags" size="4">${FLAGS.map((flag, bit) => `<field name="${flag}" start="${bit}" end="${bit}"/>`).join("")}</flags>`,
	),
	feature("org.gnu.gdb.i386.segments", SEGMENTS),
	"</target>",
].join("");
