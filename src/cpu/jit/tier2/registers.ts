import { AREA } from "../area.js";
import type { Code } from "../wasm/index.js";

/** The sixteen registers as locals of a function. */
export class Registers {
	readonly #locals: readonly number[];
	/** Registers that the function reads or writes, and those that it writes. */
	readonly #used = new Set<number>();
	readonly #dirty = new Set<number>();

	/**
	 * For instructions of 8 bits: the low byte, and the other 56 bits. The next such instruction need not take the register apart, and the whole of it
	 * is often needed nowhere but where the function is left.
	 */
	readonly #low: readonly number[];
	readonly #rest: readonly number[];

	constructor(code: Code) {
		this.#low = Array.from({ length: 16 }, () => code.local("i32"));
		this.#rest = Array.from({ length: 16 }, () => code.local("i64"));
		this.#locals = Array.from({ length: 16 }, () => code.local("i64"));
	}

	/** Pushes 64 bits. */
	get(code: Code, reg: number): Code {
		this.#used.add(reg);
		return code.get(this.#locals[reg]!);
	}

	/**
	 * Sets a register to a local of that size: 32 bits clear the upper half; 16 bits, and 8 of ah, ch, dh, bh (`high`), leave the rest alone. The
	 * low byte is {@link setLow}'s.
	 */
	set(code: Code, reg: number, size: number, value: number, high: boolean): void {
		this.#used.add(reg);
		this.#dirty.add(reg);
		const local = this.#locals[reg]!;
		if (size >= 32) {
			code.get(value);
			if (size === 32) code.op("i64.extend_i32_u");
			code.set(local);
			return;
		}
		const mask = high ? 0xff00n : 0xffffn;
		code.get(local).i64(~mask).op("i64.and").get(value).op("i64.extend_i32_u");
		if (high) code.i64(8n).op("i64.shl");
		code.op("i64.or").set(local);
	}

	/** Sets the low byte. `again`: the register has not been changed otherwise since this was last done. */
	setLow(code: Code, reg: number, value: number, again: boolean): void {
		this.#used.add(reg);
		this.#dirty.add(reg);
		const [local, rest] = [this.#locals[reg]!, this.#rest[reg]!];
		if (!again) code.get(local).i64(~0xffn).op("i64.and").set(rest);
		code.get(value).set(this.#low[reg]!);
		code.get(rest).get(value).op("i64.extend_i32_u").op("i64.or").set(local);
	}
	/** Pushes the low byte, if {@link setLow} was the last to change the register. */
	getLow(code: Code, reg: number): Code {
		return code.get(this.#low[reg]!);
	}

	/** Pops 64 bits that equal the register's value. */
	refresh(code: Code, reg: number): void {
		code.set(this.#locals[reg]!);
	}

	/** From the area into the locals. Emitted when it is known which registers the function uses. */
	load(code: Code): void {
		for (const reg of this.#used) {
			code
				.i32(0)
				.memory("i64.load", AREA.words + 8 * reg)
				.set(this.#locals[reg]!);
		}
	}
	/** From the locals into the area. */
	save(code: Code): void {
		for (const reg of this.#dirty) {
			code
				.i32(0)
				.get(this.#locals[reg]!)
				.memory("i64.store", AREA.words + 8 * reg);
		}
	}
}
