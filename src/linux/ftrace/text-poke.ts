import { declareState } from "../../base/index.js";
import { type CpuState, FLAG, RSP } from "../../cpu/index.js";
import { hex, type Kaddr, type Memory, toKaddr } from "../../memory/index.js";
import { detail, type Icache, type Kernel } from "../lib/index.js";

export const INT3_INSN_OPCODE = 0xcc;
export const CALL_INSN_OPCODE = 0xe8;
export const JMP32_INSN_OPCODE = 0xe9;
export const JMP8_INSN_OPCODE = 0xeb;
export const RET_INSN_OPCODE = 0xc3;
export const MCOUNT_INSN_SIZE = 5;
/** The five byte nop of x86-64, `nopl 0(%rax,%rax,1)`. */
export const NOP5: Uint8Array = Uint8Array.of(0x0f, 0x1f, 0x44, 0x00, 0x00);

/** The two byte nop. */
const NOP2: Uint8Array = Uint8Array.of(0x66, 0x90);

/** Largest number of places in one batch (TP_VEC_MAX: a page of text_poke_loc). */
const TP_VEC_MAX = 256;

/** The bytes of `call target` at `ip`. */
export function ftrace_call_replace(ip: Kaddr, target: Kaddr): Uint8Array {
	const insn = new Uint8Array(MCOUNT_INSN_SIZE);
	insn[0] = CALL_INSN_OPCODE;
	new DataView(insn.buffer).setInt32(1, (target - (ip + MCOUNT_INSN_SIZE)) | 0, true);
	return insn;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
	return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/**
 * A place that is being changed: the new bytes, and the instruction that is emulated for a task which hits the int3.
 */
interface text_poke_loc {
	readonly address: Kaddr;
	readonly text: Uint8Array;
	/** The opcode to emulate; a nop is a jump to the next instruction, a near Jcc is stored as its short form. */
	readonly opcode: number;
	readonly disp: number;
}

/** Reads the instruction that is to be written. Throws for one that poke_int3_handler() could not emulate. */
function text_poke_loc_init(address: Kaddr, text: Uint8Array): text_poke_loc {
	const view = new DataView(text.buffer, text.byteOffset, text.length);
	const [opcode = 0, second = 0] = text;
	const padded = (length: number) => text.subarray(length).every((byte) => byte === INT3_INSN_OPCODE);
	const is = (length: number) => text.length === length;
	if (opcode === INT3_INSN_OPCODE && is(1)) return { address, text, opcode, disp: 0 };
	if (opcode === RET_INSN_OPCODE && padded(1)) return { address, text, opcode, disp: 0 };
	if (opcode === CALL_INSN_OPCODE && is(5)) return { address, text, opcode, disp: view.getInt32(1, true) };
	if (opcode === JMP32_INSN_OPCODE && padded(5)) {
		// The emulation counts from the end of the place, padding included.
		return { address, text, opcode, disp: view.getInt32(1, true) - (text.length - 5) };
	}
	if (opcode === JMP8_INSN_OPCODE && padded(2)) {
		return { address, text, opcode, disp: view.getInt8(1) - (text.length - 2) };
	}
	if ((opcode & 0xf0) === 0x70 && is(2)) return { address, text, opcode, disp: view.getInt8(1) };
	if (opcode === 0x0f && (second & 0xf0) === 0x80 && is(6)) {
		return { address, text, opcode: second - 0x10, disp: view.getInt32(2, true) };
	}
	if (sameBytes(text, NOP5) || sameBytes(text, NOP2)) return { address, text, opcode: JMP32_INSN_OPCODE, disp: 0 };
	const bytes = [...text].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
	throw new Error(`text_poke_loc_init: no emulation of ${bytes} at ${hex(address)}`);
}

/**
 * Changes code that other CPUs may be executing (arch/x86/kernel/alternative.c): first an int3 on every first byte,
 * then the tails, then the first bytes, with all CPUs serialised in between. For a task that hits an int3 in the
 * meantime, {@link poke_int3_handler} emulates the new instruction.
 */
export class TextPoke {
	static readonly state = declareState("TextPoke", { fields: ["queue", "bp_desc"] });

	readonly #memory: Memory;
	readonly #icache: Icache;
	/** Places that the next batch will change. */
	queue: text_poke_loc[] = [];
	/** bp_desc: the places being changed, sorted by address; empty if its refcount is 0. */
	bp_desc: readonly text_poke_loc[] = [];

	constructor(memory: Memory, icache: Icache) {
		this.#memory = memory;
		this.#icache = icache;
	}

	/** Code that no task can be executing yet: one plain write (text_poke_early). */
	text_poke_early(address: Kaddr, text: Uint8Array): void {
		this.#memory.write(address, text);
		this.#icache.flush_icache_range(address, text.length);
	}

	/** Adds to the batch; flushes first if it is full or if `address` would break its order. */
	*text_poke_queue(address: Kaddr, text: Uint8Array): Kernel<void> {
		const last = this.queue.at(-1);
		if (this.queue.length === TP_VEC_MAX || (last !== undefined && last.address >= address))
			yield* this.text_poke_finish();
		this.queue.push(text_poke_loc_init(address, text));
	}

	*text_poke_finish(): Kernel<void> {
		const batch = this.queue;
		this.queue = [];
		if (batch.length > 0) yield* this.#text_poke_bp_batch(batch);
	}

	/** One place, at once. `emulate`: what a task executes that hits the int3, if it is not `text`. */
	*text_poke_bp(address: Kaddr, text: Uint8Array, emulate: Uint8Array = text): Kernel<void> {
		yield* this.text_poke_finish();
		yield* this.#text_poke_bp_batch([{ ...text_poke_loc_init(address, emulate), text }]);
	}

	*#text_poke_bp_batch(batch: readonly text_poke_loc[]): Kernel<void> {
		this.bp_desc = batch;
		for (const loc of batch) this.#write(loc.address, Uint8Array.of(INT3_INSN_OPCODE));
		yield detail("text_poke_bp_batch: int3 written");
		for (const loc of batch) this.#write((loc.address + 1) | 0, loc.text.subarray(1));
		yield detail("text_poke_bp_batch: tail written");
		for (const loc of batch) this.#write(loc.address, loc.text.subarray(0, 1));
		yield "text_poke_bp_batch: first byte written";
		this.bp_desc = [];
	}

	#write(address: Kaddr, bytes: Uint8Array): void {
		this.#memory.write(address, bytes);
		this.#icache.flush_icache_range(address, bytes.length);
	}

	/**
	 * The int3 exception: emulates the instruction that is being written at `state.rip`. False if no instruction is
	 * being written there: the breakpoint has another origin.
	 */
	poke_int3_handler(state: CpuState): boolean {
		const ip = toKaddr(state.rip);
		const loc = this.#find(ip);
		if (loc === undefined || loc.opcode === INT3_INSN_OPCODE) return false;
		const next = (ip + loc.text.length) | 0;
		const target = (next + loc.disp) | 0;
		const sp = state.kaddr(RSP);
		let rip = target;
		switch (loc.opcode) {
			case CALL_INSN_OPCODE:
				this.#memory.setKaddr((sp - 8) | 0, next);
				state.setKaddr(RSP, (sp - 8) | 0);
				break;
			case RET_INSN_OPCODE:
				rip = toKaddr(this.#memory.u64(sp));
				state.setKaddr(RSP, (sp + 8) | 0);
				break;
			case JMP32_INSN_OPCODE:
			case JMP8_INSN_OPCODE:
				break;
			default:
				if (!condition(loc.opcode & 0xf, Number(state.rflags & 0xffffn))) rip = next;
		}
		state.rip = BigInt.asUintN(64, BigInt(rip));
		return true;
	}

	/** The place at `ip` of the batch, which is in ascending order. */
	#find(ip: Kaddr): text_poke_loc | undefined {
		let low = 0;
		let high = this.bp_desc.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.bp_desc[middle]!.address < ip) low = middle + 1;
			else high = middle;
		}
		const loc = this.bp_desc[low];
		return loc?.address === ip ? loc : undefined;
	}
}

/**
 * The condition codes of Jcc in the hardware's order (SDM volume 2, B.1.4.7): each odd one is the opposite of the one
 * before.
 */
function condition(code: number, flags: number): boolean {
	const [cf, pf, zf] = [(flags & FLAG.CF) !== 0, (flags & FLAG.PF) !== 0, (flags & FLAG.ZF) !== 0];
	const [sf, of] = [(flags & FLAG.SF) !== 0, (flags & FLAG.OF) !== 0];
	const holds = [of, cf, zf, cf || zf, sf, pf, sf !== of, zf || sf !== of][code >> 1]!;
	return (code & 1) === 0 ? holds : !holds;
}
