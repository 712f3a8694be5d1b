import { toKaddr } from "../../../memory/index.js";
import { AREA, REASON } from "../area.js";
import { type FunctionIndices, jumpTo } from "../semantics/index.js";
import { FUEL } from "../tier1/index.js";
import type { Code, Label } from "../wasm/index.js";
import { Flags } from "./flags.js";
import { Pages } from "./pages.js";
import { Registers } from "./registers.js";

/** The function of a translation as a whole: its locals, its beginning and its end. */
export class HotFunction {
	readonly code: Code;
	readonly functions: FunctionIndices;
	/** Index of the import for each gate, by the gate's number. */
	readonly gates: ReadonlyMap<number, number>;
	readonly #root: bigint;
	/** Locals: the REASON for leaving, where the guest goes on, and the epoch in which the function was entered. */
	readonly #why: number;
	readonly #rip: number;
	readonly #epoch: number;
	readonly flags: Flags;
	readonly registers: Registers;
	readonly pages = new Pages();
	/** The block to leave for the end of the function. */
	readonly #exit: Label;

	/** Begins the body. */
	constructor(code: Code, functions: FunctionIndices, gates: ReadonlyMap<number, number>, root: bigint) {
		this.code = code;
		this.functions = functions;
		this.gates = gates;
		this.#root = root;
		this.#why = code.local("i32");
		this.flags = new Flags(code);
		this.registers = new Registers(code);
		this.#rip = code.local("i64");
		this.#epoch = code.local("i32");
		this.#exit = code.block();
	}

	payFuel(code: Code, count: number): void {
		if (count > 0) code.get(FUEL).i32(count).op("i32.sub").set(FUEL);
	}

	/** Leaves the function; the guest goes on at the address. */
	leave(code: Code, address: bigint): void {
		code.i64(address).set(this.#rip).br(this.#exit);
	}

	setReason(code: Code, reason: number): void {
		code.i32(reason).set(this.#why);
	}

	/** Pushes 1 if text or page table have changed since the function was entered. */
	textChanged(code: Code): void {
		code.i32(0).memory("i32.load", AREA.epoch).get(this.#epoch).op("i32.ne");
	}

	/** Ends the body, and adds the beginning and the end of the function. `runType`: of the function. */
	finish(runType: number): void {
		const { code } = this;
		code.end();
		// The beginning is emitted when it is known which registers the body uses.
		code.prepend(() => this.#enter());
		this.#end(runType);
	}

	#enter(): void {
		const { code } = this;
		code.i32(0).memory("i32.load", AREA.epoch).set(this.#epoch);
		this.registers.load(code);
		this.flags.load(code);
		this.pages.enter(code);
		code.hint(false).if();
		code.i32(0).i64(this.#root).memory("i64.store", AREA.rip);
		code.i32(0).i32(toKaddr(this.#root)).memory("i32.store", AREA.refused);
		code.i32(0).i32(REASON.slow).memory("i32.store", AREA.reason);
		code.get(FUEL).op("return");
		code.end();
	}

	#end(runType: number): void {
		const { code } = this;
		this.registers.save(code);
		this.flags.save(code);
		code.i32(0).get(this.#rip).memory("i64.store", AREA.rip);
		code.i32(0).get(this.#why).memory("i32.store", AREA.reason);
		code.i32(0).i32(toKaddr(this.#root)).memory("i32.store", AREA.refused);
		code.i32(0).i32(0).memory("i32.load", AREA.exits).i32(1).op("i32.add").memory("i32.store", AREA.exits);
		// At the root, the table has this translation, which would leave here again.
		code.get(this.#why).op("i32.eqz").get(this.#rip).i64(this.#root).op("i64.ne").op("i32.and");
		code.if();
		jumpTo(code, this.#rip, FUEL, runType);
		code.end();
		code.get(FUEL);
	}
}
