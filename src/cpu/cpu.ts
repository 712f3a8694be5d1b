import { declareState } from "../base/index.js";
import type { Kaddr, Memory } from "../memory/index.js";

/** Register numbers as the hardware encodes them (SDM volume 2, table 2-2). */
export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;
export const R8 = 8;
export const R9 = 9;

/** The registers with the first four integer arguments of a function (System V ABI, 3.2.3), which gates get. */
export const ARGUMENT_REGISTERS = [RDI, RSI, RDX, RCX] as const;

export const REGISTER_NAMES = [
	"rax",
	"rcx",
	"rdx",
	"rbx",
	"rsp",
	"rbp",
	"rsi",
	"rdi",
	"r8",
	"r9",
	"r10",
	"r11",
	"r12",
	"r13",
	"r14",
	"r15",
] as const;

/** The index of rip, rflags and the gs base in {@link CpuState.words}, after the sixteen registers. */
export const RIP = 16;
export const RFLAGS = 17;
export const GS_BASE = 18;
export const STATE_WORDS = 19;

/**
 * The flags that programs can change; bit 1 of rflags is always set. TF is not among them: single steps are not emulated,
 * and a popf that sets it is refused.
 */
export const FLAG = {
	CF: 0x1,
	PF: 0x4,
	AF: 0x10,
	ZF: 0x40,
	SF: 0x80,
	IF: 0x200,
	DF: 0x400,
	OF: 0x800,
	IOPL: 0x3000,
	NT: 0x4000,
	AC: 0x40000,
	ID: 0x200000,
} as const;
export const RFLAGS_RESET = 0x202n;

/** The registers of the task that is on a Cpu. A plain array of words, so that a task switch is one `set`. */
export class CpuState {
	static readonly state = declareState("CpuState", { fields: ["words"] });

	readonly words: BigUint64Array;
	/** The same words as int32 halves: `halves[2 * register]` is a {@link Kaddr} if the register holds a kernel address. */
	readonly halves: Int32Array;

	constructor(words: BigUint64Array = new BigUint64Array(STATE_WORDS)) {
		this.words = words;
		this.halves = new Int32Array(words.buffer, words.byteOffset, 2 * STATE_WORDS);
		this.words[RFLAGS] = RFLAGS_RESET;
	}

	get rip(): bigint {
		return this.words[RIP]!;
	}
	set rip(value: bigint) {
		this.words[RIP] = value;
	}
	get rflags(): bigint {
		return this.words[RFLAGS]!;
	}
	set rflags(value: bigint) {
		this.words[RFLAGS] = value;
	}
	/** A register that holds a kernel address. */
	kaddr(register: number): Kaddr {
		return this.halves[2 * register]!;
	}
	setKaddr(register: number, value: Kaddr): void {
		this.halves[2 * register] = value;
		this.halves[2 * register + 1] = value >> 31;
	}
}

/**
 * How guest code calls TypeScript: a guest address bound to a host function. A gate in guest memory is two bytes, `90 c3`
 * (nop; ret). Executing the nop runs `call` first; then the guest goes on with the `ret`. Both count as instructions.
 */
export type Gate = CallGate | StoreGate;

export interface CallGate {
	readonly name: string;
	/**
	 * `"args"`: the hot kind. `call` gets the low halves of rdi, rsi, rdx and rcx (kernel addresses, small integers), may
	 * read and write guest memory, and must not touch `Cpu.state`: translated code may hold the registers in locals at
	 * that moment.
	 * `"state"`: `Cpu.state` is complete and may be changed (rip excepted); `call` gets no arguments.
	 */
	readonly passes: "args" | "state";
	/**
	 * Runs synchronously. `true` stops the Cpu after the nop, with rip at the `ret`, so that the next run goes on from there.
	 * An exception thrown here comes out of {@link Cpu.run}, with `Cpu.state` complete and rip at the `ret`.
	 */
	call(rdi: number, rsi: number, rdx: number, rcx: number): boolean;
}

/**
 * The hottest kind: a function from one pointer to another, whose result the Cpu stores. A store by TypeScript costs
 * several times as much.
 */
export interface StoreGate {
	readonly name: string;
	readonly passes: "store";
	/** The register whose low half the function gets. */
	readonly takes: (typeof ARGUMENT_REGISTERS)[number];
	/** Where the result goes: a distance in bytes from rcx. All eight bytes there must be readable and writable. */
	readonly at: number;
	/**
	 * Makes the function, once for each Cpu. It returns a kernel address, which the Cpu stores, sign-extended to 64 bits;
	 * or 0: nothing is stored. It must not touch `Cpu.state`, write guest memory, or change mappings or text, and cannot
	 * stop the Cpu. It catches all errors, hands each one to `caught`, and returns the result of that. (Translated code
	 * calls the function directly: a wrapper that catches errors for all gates would be one function to V8, which inlines
	 * a call only if it has one target.)
	 */
	readonly make: (caught: (error: unknown) => number) => (argument: number) => Kaddr;
}

/** The bytes of a gate. */
export const GATE_BYTES: readonly number[] = [0x90, 0xc3];

/** `stack-segment`: a non-canonical address through rsp or rbp; through other registers it is `general-protection`. */
export type FaultKind =
	| "divide-error"
	| "page-fault"
	| "invalid-opcode"
	| "breakpoint"
	| "general-protection"
	| "stack-segment";

/** An exception of the guest. The state is the one before the faulting instruction, int3 included. */
export interface Fault {
	readonly kind: FaultKind;
	/** The address that could not be accessed; page faults only. */
	readonly address?: bigint;
	/** The kind of access; page faults only. */
	readonly access?: "read" | "write" | "fetch";
	/** A text for messages, for example bytes and disassembly of an instruction that is not emulated. */
	readonly detail?: string;
}

/** Why a run ended. `executed` is exact: the instructions that completed. */
export type Stop =
	| { readonly kind: "budget"; readonly executed: number }
	| { readonly kind: "gate"; readonly executed: number; readonly gate: Gate }
	| { readonly kind: "breakpoint"; readonly executed: number; readonly address: bigint }
	| { readonly kind: "fault"; readonly executed: number; readonly fault: Fault };

/**
 * An x86-64 processor in 64-bit mode, supervisor, no interrupts. Every implementation stops at the same instruction with
 * the same registers, flags and memory.
 */
export interface Cpu {
	readonly name: "jit" | "unicorn";
	readonly memory: Memory;
	readonly state: CpuState;
	/** Runs from `state.rip` for exactly `budget` instructions (or `Infinity`), or until something stops it earlier. */
	run(budget: number): Stop;
	/** Binds a gate to the address of its two bytes, which are already in memory. */
	addGate(address: Kaddr, gate: Gate): void;
	removeGate(address: Kaddr): void;
	/** A run stops before it executes the instruction at a breakpoint, but not when it starts there. */
	addBreakpoint(address: bigint): void;
	removeBreakpoint(address: bigint): void;
	/**
	 * Declares the five bytes at `address` an fentry site, which text_poke flips between nop, call and int3. A Cpu may
	 * treat them as data, so that {@link textChanged} there costs no retranslation. Without the declaration the Cpu is
	 * slower, but correct.
	 */
	addCallSite(address: Kaddr): void;
	removeCallSite(address: Kaddr): void;
	/** The host has changed code bytes. Without this call the Cpu may go on running an old translation. */
	textChanged(address: Kaddr | bigint, length: number): void;
	/** If set, it is called before each instruction, once, with `state` complete; it must not change it. Slow: for traces and tests. */
	onInstruction: ((rip: bigint) => void) | undefined;
	close(): void;
}
