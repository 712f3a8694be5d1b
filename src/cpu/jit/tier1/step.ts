import { isKaddr, toKaddr } from "../../../memory/index.js";
import { ARGUMENT_REGISTERS } from "../../cpu.js";
import { AREA, jumpSlot, REASON, SITE } from "../area.js";
import { emitCall, IMPORT, SEMANTICS, Translator } from "../semantics/index.js";
import type { Code, Label, Signature } from "../wasm/index.js";
import { after, type BoundGate, type RegionInstruction } from "./region.js";

const I32 = "i32" as const;
/** In the order of IMPORT. */
export const IMPORTS: readonly { name: string; signature: Signature }[] = [
	{ name: "prepare", signature: { params: [I32, I32], results: [I32] } },
	{ name: "commit", signature: { params: [], results: [I32] } },
	{ name: "divide", signature: { params: [I32], results: [I32] } },
	{ name: "gate", signature: { params: [I32, I32, I32, I32, I32], results: [I32] } },
];

/** The functions of a module are its imports, then flagsOf, flags, umulh and run; types are numbered alike. */
export const FLAGS_OF = IMPORTS.length;
const FUNCTIONS = { divide: IMPORT.divide, flags: FLAGS_OF + 1, umulh: FLAGS_OF + 2 };
const RUN_TYPE = FLAGS_OF + 3;
export const ENTRY = 0;
export const FUEL = 1;

/**
 * Translation with the registers in memory, where every instruction is an entry and counts its fuel: a run can start and
 * stop anywhere, at no cost. `run(entry, fuel)` returns the fuel that is left, with rip and the reason in the area.
 */
export class StepTranslator extends Translator {
	/** Of each instruction, while they are still ahead: forward jumps need no dispatch. */
	labels: readonly Label[] = [];
	position = 0;
	readonly #index: ReadonlyMap<bigint, number>;
	readonly #dispatch: Label;
	readonly #exit: Label;
	readonly #epoch: number;

	constructor(code: Code, index: ReadonlyMap<bigint, number>, exit: Label, dispatch: Label, epoch: number) {
		super(code, FUEL, FUNCTIONS);
		this.#index = index;
		this.#exit = exit;
		this.#dispatch = dispatch;
		this.#epoch = epoch;
	}

	leave(rip: bigint): void {
		this.code.i32(0).i64(rip).memory("i64.store", AREA.rip).br(this.#exit);
	}

	override goto(target: bigint): void {
		const index = this.#index.get(target);
		// A store of this instruction may have changed the code; then the jump slots know no more about it.
		if (index === undefined || this.wrote) {
			this.#chain(target);
			return;
		}
		if (index > this.position) this.code.br(this.labels[index]!);
		else this.code.i32(index).set(ENTRY).br(this.#dispatch);
	}

	/** Goes straight to the translation of an address that is known now, when there is one. */
	#chain(target: bigint): void {
		const { code } = this;
		if (isKaddr(target)) {
			const low = toKaddr(target);
			const slot = AREA.jumps + 16 * jumpSlot(low);
			code.i32(0).memory("i32.load", slot).i32(low).op("i32.eq");
			code.if();
			code
				.i32(0)
				.memory("i32.load", slot + 4)
				.get(FUEL);
			code
				.i32(0)
				.memory("i32.load", slot + 8)
				.tailCallIndirect(RUN_TYPE);
			code.end();
		}
		this.leave(target);
	}

	override gotoDynamic(target: number): void {
		this.jumpTo(target, RUN_TYPE);
		this.code.i32(0).get(target).memory("i64.store", AREA.rip).br(this.#exit);
	}

	#body(entry: RegionInstruction, next: bigint): void {
		if (entry.kind === "plain") {
			const emit = SEMANTICS[entry.instruction.row.semantic];
			if (emit === undefined) throw new Error(`no semantics for ${entry.instruction.row.semantic}`);
			emit(this, entry.instruction);
		} else if (entry.kind === "site") this.#site(entry.cell, next);
		else this.#gate(entry, next);
	}

	/** What stands at a call site is read at run time, so that a text poke changes one word of data. */
	#site(cell: number, next: bigint): void {
		const { code } = this;
		code.i32(0).memory("i32.load", AREA.sites + 4 * cell);
		const target = this.keep("i32");
		code.get(target).i32(SITE.other).op("i32.eq");
		this.bailIf(REASON.site);
		code.get(target);
		code.if();
		emitCall(this, next);
		code.get(target).op("i64.extend_i32_s");
		this.gotoDynamic(this.keep("i64"));
		code.end();
	}

	#gate({ index, gate }: BoundGate, next: bigint): void {
		const { code } = this;
		if (gate.passes === "state") code.i32(0).i64(next).memory("i64.store", AREA.rip);
		code.i32(index);
		for (const register of ARGUMENT_REGISTERS) this.getRegister(register, 32);
		code.call(IMPORT.gate);
		code.if();
		code.i32(0).i32(index).memory("i32.store", AREA.gate);
		code.i32(0).i32(REASON.gate).memory("i32.store", AREA.reason);
		this.leave(next);
		code.end();
		code.i32(0).memory("i32.load", AREA.epoch).get(this.#epoch).op("i32.ne");
		code.if();
		this.leave(next);
		code.end();
	}

	/** One instruction; falls through to the next one. */
	emit(entry: RegionInstruction): void {
		const { code } = this;
		const next = after(entry);
		this.wrote = false;
		code.get(FUEL).op("i32.eqz");
		code.if();
		this.leave(entry.address);
		code.end();
		code.get(FUEL).i32(1).op("i32.sub").set(FUEL);
		const done = code.block();
		this.bail = code.block();
		this.#body(entry, next);
		code.br(done);
		code.end();
		// The instruction was not done, but paid for.
		code.get(FUEL).i32(1).op("i32.add").set(FUEL);
		code.i32(0).get(this.why).memory("i32.store", AREA.reason);
		this.leave(entry.address);
		code.end();
		if (this.wrote) {
			code.get(this.stale);
			code.if();
			this.leave(next);
			code.end();
		}
		code.releaseTemps();
	}
}
