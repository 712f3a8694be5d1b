import { type CpuState, RSP } from "../cpu/index.js";
import type { Kernel } from "../kernel/index.js";
import { hex, type Kaddr, type Memory, toKaddr } from "../memory/index.js";

export const INT3_INSN_OPCODE = 0xcc;
export const CALL_INSN_OPCODE = 0xe8;
export const JMP32_INSN_OPCODE = 0xe9;
export const RET_INSN_OPCODE = 0xc3;
export const MCOUNT_INSN_SIZE = 5;
/** The five byte nop of x86-64, `nopl 0(%rax,%rax,1)`. */
export const NOP5: Uint8Array = Uint8Array.of(0x0f, 0x1f, 0x44, 0x00, 0x00);

/** How many places one batch may change (TP_VEC_MAX: a page of text_poke_loc). */
const TP_VEC_MAX = 256;

/** `call target`, as it stands at `ip`. */
export function ftrace_call_replace(ip: Kaddr, target: Kaddr): Uint8Array {
	const insn = new Uint8Array(MCOUNT_INSN_SIZE);
	insn[0] = CALL_INSN_OPCODE;
	new DataView(insn.buffer).setInt32(1, (target - (ip + MCOUNT_INSN_SIZE)) | 0, true);
	return insn;
}

interface text_poke_loc {
	readonly address: Kaddr;
	readonly text: Uint8Array;
}

/**
 * Changes code that others may be executing (arch/x86/kernel/alternative.c): first an int3 on every first byte, then the
 * tails, then the first bytes, with all CPUs serialised in between. Whoever hits an int3 meanwhile is sent on by
 * {@link poke_int3_handler} as if the new instruction were there already.
 */
export class TextPoke {
	readonly #memory: Memory;
	readonly #textChanged: (address: Kaddr, length: number) => void;
	/** What the next batch will change. */
	queue: text_poke_loc[] = [];
	/** bp_desc: the places being changed, sorted by address; empty when its refcount is 0. */
	bp_desc: readonly text_poke_loc[] = [];

	constructor(memory: Memory, textChanged: (address: Kaddr, length: number) => void) {
		this.#memory = memory;
		this.#textChanged = textChanged;
	}

	/** Code that nobody can be executing yet: one plain write (text_poke_early). */
	text_poke_early(address: Kaddr, text: Uint8Array): void {
		this.#memory.write(address, text);
		this.#textChanged(address, text.length);
	}

	/** Adds to the batch; flushes first when it is full or when `address` would break its order. */
	*text_poke_queue(address: Kaddr, text: Uint8Array): Kernel<void> {
		const last = this.queue.at(-1);
		if (this.queue.length === TP_VEC_MAX || (last !== undefined && last.address >= address))
			yield* this.text_poke_finish();
		this.queue.push({ address, text });
	}

	*text_poke_finish(): Kernel<void> {
		const batch = this.queue;
		this.queue = [];
		if (batch.length > 0) yield* this.#text_poke_bp_batch(batch);
	}

	/** One place, at once. */
	*text_poke_bp(address: Kaddr, text: Uint8Array): Kernel<void> {
		yield* this.text_poke_finish();
		yield* this.#text_poke_bp_batch([{ address, text }]);
	}

	*#text_poke_bp_batch(batch: readonly text_poke_loc[]): Kernel<void> {
		this.bp_desc = batch;
		for (const loc of batch) this.#write(loc.address, Uint8Array.of(INT3_INSN_OPCODE));
		yield "text_poke_bp_batch: int3 written";
		for (const loc of batch) this.#write((loc.address + 1) | 0, loc.text.subarray(1));
		yield "text_poke_bp_batch: tail written";
		for (const loc of batch) this.#write(loc.address, loc.text.subarray(0, 1));
		yield "text_poke_bp_batch: first byte written";
		this.bp_desc = [];
	}

	#write(address: Kaddr, bytes: Uint8Array): void {
		this.#memory.write(address, bytes);
		this.#textChanged(address, bytes.length);
	}

	/**
	 * The int3 exception: emulates the instruction that is being written at `state.rip`. False when nobody is changing that
	 * place, so that the breakpoint is somebody else's.
	 */
	poke_int3_handler(state: CpuState): boolean {
		const ip = toKaddr(state.rip);
		const loc = this.bp_desc.find((entry) => entry.address === ip);
		if (loc === undefined) return false;
		const next = (ip + loc.text.length) | 0;
		const target = (next + new DataView(loc.text.buffer, loc.text.byteOffset).getInt32(1, true)) | 0;
		switch (loc.text[0]) {
			case CALL_INSN_OPCODE: {
				const sp = (state.kaddr(RSP) - 8) | 0;
				this.#memory.setKaddr(sp, next);
				state.setKaddr(RSP, sp);
				state.rip = BigInt.asUintN(64, BigInt(target));
				return true;
			}
			case JMP32_INSN_OPCODE:
				state.rip = BigInt.asUintN(64, BigInt(target));
				return true;
			case NOP5[0]:
				state.rip = BigInt.asUintN(64, BigInt(next));
				return true;
			default:
				throw new Error(`poke_int3_handler: no emulation of opcode ${loc.text[0]?.toString(16)} at ${hex(ip)}`);
		}
	}
}
