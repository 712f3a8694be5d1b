import { type CpuState, RIP, RSP } from "../../cpu/index.js";
import type { UnwindRow } from "../../elf/index.js";
import { hex, isKaddr, type Kaddr, type Memory, toKaddr, toU64 } from "../../memory/index.js";

/** The largest number of entries for klp_check_stack (MAX_STACK_ENTRIES, kernel/livepatch/transition.c). */
export const MAX_STACK_ENTRIES = 100;

/** Row for `ip`. For a return address (isCallSite), `ip` is already the address minus one. */
export type RowLookup = (ip: Kaddr, isCallSite: boolean) => UnwindRow | undefined;

export interface Stack {
	readonly memory: Memory;
	/** The stack is [low, high). */
	readonly low: Kaddr;
	readonly high: Kaddr;
	readonly findRow: RowLookup;
	/** The original of a return address that a tracer may have replaced in the word at `retp`; 0: it is not known. */
	readonly recover: (ret: Kaddr, retp: Kaddr) => Kaddr;
}

interface Frames {
	/** Innermost first: the task's ip, then return addresses. */
	readonly entries: readonly Kaddr[];
	/** By entry: the stack pointer in that frame. */
	readonly rsp: readonly Kaddr[];
}

export type StackTrace = Frames & ({ readonly reliable: true } | { readonly reliable: false; readonly reason: string });

/**
 * Walks the stack of a task that does not run, and tells if every frame of it is known
 * (stack_trace_save_tsk_reliable, Documentation/livepatch/reliable-stacktrace.rst).
 *
 * Reliable means: each address had an unwind row, each frame lay above the one before and within the stack, and the walk
 * ended at a row that says "this code has no caller", without any guess. Otherwise the entries are those found so far.
 */
export function stack_trace_save_tsk_reliable(regs: CpuState, stack: Stack): StackTrace {
	const walk = new Walk(regs, stack);
	const entries: Kaddr[] = [];
	const rsp: Kaddr[] = [];
	for (;;) {
		if (!isKaddr(walk.ip)) {
			return { reliable: false, reason: `return address ${hex(walk.ip)} is not in the kernel`, entries, rsp };
		}
		entries.push(toKaddr(walk.ip));
		rsp.push(walk.rsp);
		// stack_trace_consume_entry() ends the walk when its store is full, also at the last frame.
		if (entries.length === MAX_STACK_ENTRIES) {
			return { reliable: false, reason: `${MAX_STACK_ENTRIES} entries or more`, entries, rsp };
		}
		const result = walk.step();
		if (result === "end") return { reliable: true, entries, rsp };
		if (result !== "next") return { reliable: false, reason: result, entries, rsp };
	}
}

/** rbx, rsp, rbp, r12 to r15: functions keep them (psABI, figure 3.4). */
const CALLEE_SAVED = 0xf038;
const ALL_REGISTERS = 0xffff;
/** The privilege level in cs. */
const RPL = 3n;

/** Walks one frame after the other, with the values of the registers in that frame. */
class Walk {
	ip: bigint;
	readonly #stack: Stack;
	readonly #registers: BigUint64Array;
	/** A bit for each register whose value in this frame is known. */
	private known = ALL_REGISTERS;
	/** The lowest value that rsp may still have: every frame lies above those it called. */
	private lowest: Kaddr;
	/** `ip` is a return address, behind the call that it belongs to. */
	private isCallSite = false;

	constructor(regs: CpuState, stack: Stack) {
		this.#stack = stack;
		this.#registers = regs.words.slice(0, 16);
		this.lowest = stack.low;
		this.ip = regs.words[RIP]!;
	}

	/** Of the current frame. */
	get rsp(): Kaddr {
		return toKaddr(this.#registers[RSP]!);
	}

	/** Goes to the caller: "next", "end", or the reason why that is not possible. */
	step(): string {
		const row = this.#stack.findRow((toKaddr(this.ip) - (this.isCallSite ? 1 : 0)) | 0, this.isCallSite);
		if (row === undefined) return `no unwind information for ${hex(this.ip)}`;
		const rsp = this.#registers[RSP]!;
		if (!this.#onStack(rsp)) return `rsp ${hex(rsp)} is not on the stack, at ${hex(this.ip)}`;
		if (row.raOffset === undefined) return "end";

		const cfa = this.#cfa(row);
		if (typeof cfa === "string") return `${cfa}, at ${hex(this.ip)}`;
		if (cfa % 8n !== 0n) return `frame at ${hex(cfa)} is misaligned, at ${hex(this.ip)}`;
		if (!this.#onStack(cfa)) return `frame at ${hex(cfa)} is not on the stack, at ${hex(this.ip)}`;
		if (toKaddr(cfa) <= toKaddr(rsp)) return `frame at ${hex(cfa)} does not lie above rsp, at ${hex(this.ip)}`;

		const base = toKaddr(cfa);
		const retp = (base + row.raOffset) | 0;
		const ra = this.#load(retp, base);
		if (ra === undefined) return `the return address is outside its frame, at ${hex(this.ip)}`;
		if (row.csOffset !== undefined) {
			const cs = this.#load((base + row.csOffset) | 0, base);
			if (cs === undefined) return `cs is outside its frame, at ${hex(this.ip)}`;
			if ((cs & RPL) !== 0n) return "end";
		}
		const restored = this.#restore(row, base);
		if (restored !== undefined) return `${restored}, at ${hex(this.ip)}`;
		this.ip = isKaddr(ra) ? toU64(this.#stack.recover(toKaddr(ra), retp)) : ra;
		this.isCallSite = !row.signal;
		return "next";
	}

	/** The CFA, or the reason why it is not known. */
	#cfa({ cfaRegister, cfaOffset, cfaLoad }: UnwindRow): bigint | string {
		if (!this.#isKnown(cfaRegister)) return `register ${cfaRegister}, which the frame needs, is not known`;
		const sum = BigInt.asUintN(64, this.#registers[cfaRegister]! + BigInt(cfaOffset));
		if (cfaLoad === undefined) return sum;
		const word = isKaddr(sum) ? this.#load(toKaddr(sum), this.#stack.high) : undefined;
		if (word === undefined) return `the frame's address, at ${hex(sum)}, is not on the stack`;
		return BigInt.asUintN(64, word + BigInt(cfaLoad));
	}

	/** Sets the registers to the caller's values. Returns the reason why that is not possible. */
	#restore({ saved, preserves = CALLEE_SAVED }: UnwindRow, cfa: Kaddr): string | undefined {
		// Each place is worked out with the registers of this frame, so that all are read before one is set.
		const values: [register: number, value: bigint][] = [];
		for (const { register, offset, base } of saved) {
			if (base !== undefined && !this.#isKnown(base)) return `register ${base}, which the frame needs, is not known`;
			const from = base === undefined ? toU64(cfa) : this.#registers[base]!;
			const value = isKaddr(from) ? this.#load((toKaddr(from) + offset) | 0, cfa) : undefined;
			if (value === undefined) return "a saved register is outside its frame";
			values.push([register, value]);
		}
		const before = this.rsp;
		this.#registers[RSP] = toU64(cfa);
		this.known &= preserves | (1 << RSP);
		for (const [register, value] of values) {
			this.#registers[register] = value;
			this.known |= 1 << register;
		}
		const rsp = this.#registers[RSP]!;
		if (!this.#onStack(rsp)) return `the caller's rsp ${hex(rsp)} is not on the stack`;
		if (this.rsp <= before) return `the caller's rsp ${hex(rsp)} does not lie above rsp`;
		this.lowest = this.rsp;
		return undefined;
	}

	#isKnown(register: number): boolean {
		return (this.known & (1 << register)) !== 0;
	}

	/** A value that rsp may have in this frame or a later one: the very end of the stack included. */
	#onStack(address: bigint): boolean {
		return isKaddr(address) && toKaddr(address) >= this.lowest && toKaddr(address) <= this.#stack.high;
	}

	/** Reads a word of the current frame. */
	#load(address: Kaddr, frameEnd: Kaddr): bigint | undefined {
		if (address < this.lowest || address > frameEnd - 8) return undefined;
		return this.#stack.memory.u64(address);
	}
}
