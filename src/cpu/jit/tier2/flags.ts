import type { Instruction, Semantic } from "../../x86/index.js";
import { AREA } from "../area.js";
import { CF_FIXED, FLAG_KIND, OF_FIXED, RESULT_FOLLOWS, type Translator, typeOf } from "../semantics/index.js";
import type { Code, OpName } from "../wasm/index.js";

/** The properties of the instruction that set the flags, where the flags are used. */
export interface Setter {
	readonly kind: number;
	readonly size: number;
	/** Result, carry and overflow follow from a and b alone. */
	readonly plain: boolean;
	/** CF and OF are zero. */
	readonly logic: boolean;
	/** Local with CF, if it is not the one that the setter computes. */
	readonly carry: number | undefined;
	readonly overflow: number | undefined;
}

/** The words of lazy flags are in the same locals on all ways, so that equal setters have the same meaning. */
export function isSameSetter(one: Setter | undefined, other: Setter | undefined): boolean {
	if (one === undefined || other === undefined) return false;
	return (Object.keys(one) as (keyof Setter)[]).every((key) => one[key] === other[key]);
}

const PLAIN = new Set<Semantic>(["add", "sub", "cmp", "and", "or", "xor", "test", "neg", "inc", "dec"]);
/** With a count of zero these do not change the flags. */
const COUNTED = new Set<Semantic>(["shl", "shr", "sar", "rol", "ror", "rcl", "rcr", "shld", "shrd"]);

/**
 * A shift or rotation sets the flags only if its count is not zero, which may be known at run time only, and so does a
 * repeated comparison.
 */
export function mayKeepFlags(i: Instruction): boolean {
	if (i.repeat !== "none") return i.row.writes !== "";
	if (!COUNTED.has(i.row.semantic)) return false;
	const count = i.operands.at(-1)!;
	const mask = i.size === 64 ? 63n : 31n;
	return count.kind !== "imm" || (count.value & mask) === 0n;
}

/**
 * Lazy flags in locals. Conditions are computed from the operands of the instruction that set the flags, if that
 * instruction is known. One for each function; the {@link Setter} belongs to the way on which code is emitted.
 */
export class Flags {
	readonly #kind: number;
	readonly #a: number;
	readonly #b: number;
	readonly #r: number;
	/** The result once more, for conditions: this local is not written back, so it need not live as long as the flags. */
	readonly #result: number;
	readonly #carry: number;
	readonly #overflow: number;

	constructor(code: Code) {
		this.#kind = code.local("i32");
		this.#a = code.local("i64");
		this.#b = code.local("i64");
		this.#r = code.local("i64");
		this.#result = code.local("i64");
		this.#carry = code.local("i32");
		this.#overflow = code.local("i32");
	}

	/** From the area into the locals. */
	load(code: Code): void {
		code.i32(0).memory("i32.load", AREA.flagKind).set(this.#kind);
		code.i32(0).memory("i64.load", AREA.flagA).set(this.#a);
		code.i32(0).memory("i64.load", AREA.flagB).set(this.#b);
		code.i32(0).memory("i64.load", AREA.flagR).set(this.#r);
	}
	/** From the locals into the area. */
	save(code: Code): void {
		code.i32(0).get(this.#kind).memory("i32.store", AREA.flagKind);
		code.i32(0).get(this.#a).memory("i64.store", AREA.flagA);
		code.i32(0).get(this.#b).memory("i64.store", AREA.flagB);
		code.i32(0).get(this.#r).memory("i64.store", AREA.flagR);
	}

	/** {@link Translator.setFlags} for an instruction. */
	set(
		t: Translator,
		i: Instruction,
		kind: number,
		size: number,
		a: number | undefined,
		b: number | undefined,
		r: number,
	): Setter {
		const plain = PLAIN.has(i.row.semantic);
		const logic = kind === FLAG_KIND.result && a === undefined;
		// Words that are not set here take no register of the processor until the flags are set again.
		const follows = logic ? CF_FIXED | OF_FIXED : plain ? RESULT_FOLLOWS : 0;
		t.code.i32(kind | ((64 - size) << 4) | follows).set(this.#kind);
		if (!logic) {
			t.widened(size, a!).set(this.#a);
			t.widened(size, b!).set(this.#b);
		}
		if (follows !== RESULT_FOLLOWS) t.widened(size, r).set(this.#r);
		t.widened(size, r).set(this.#result);
		return { kind, size, plain, logic, carry: undefined, overflow: undefined };
	}

	setEager(code: Code, flags: number): void {
		code.i32(FLAG_KIND.eager).set(this.#kind);
		code.get(flags).op("i64.extend_i32_u").set(this.#r);
	}

	fixCarry(t: Translator, setter: Setter | undefined, carry: number): Setter | undefined {
		const { code } = t;
		code.get(this.#kind);
		t.withCarry(carry);
		code.set(this.#kind).get(carry).set(this.#carry);
		return setter && { ...setter, carry: this.#carry };
	}
	fixOverflow(t: Translator, setter: Setter | undefined, overflow: number): Setter | undefined {
		const { code } = t;
		code.get(this.#kind);
		t.withOverflow(overflow);
		code.set(this.#kind).get(overflow).set(this.#overflow);
		return setter && { ...setter, overflow: this.#overflow };
	}

	/** Pushes the status flags, as rflags has them. `flagsOf`: index of the function that computes them. */
	push(code: Code, flagsOf: number): void {
		code.get(this.#kind).get(this.#a).get(this.#b).get(this.#r).call(flagsOf);
	}

	/**
	 * Pushes one of the eight conditions that are not negations; false, with nothing pushed, if it needs all flags. SDM
	 * volume 1, appendix B.
	 */
	pushCondition(t: Translator, pair: number, setter: Setter): boolean {
		const difference = setter.kind === FLAG_KIND.sub && setter.plain;
		switch (pair) {
			case 1:
				return this.pushCarry(t.code, setter);
			case 2:
				if (difference) this.#compare(t, setter.size, "eq");
				else this.#sign(t, setter.size, "eq");
				return true;
			case 3:
				if (difference && setter.carry === undefined) {
					this.#compare(t, setter.size, "le_u");
					return true;
				}
				if (!this.pushCarry(t.code, setter)) return false;
				this.#sign(t, setter.size, "eq");
				t.code.op("i32.or");
				return true;
			case 4:
				this.#sign(t, setter.size, "lt_s");
				return true;
			case 6:
				return this.#pushOrder(t, setter, "lt_s");
			case 7:
				return this.#pushOrder(t, setter, "le_s");
			default:
				return false;
		}
	}

	/** Pushes "less" or "less or equal" of signed numbers. */
	#pushOrder(t: Translator, setter: Setter, operation: "lt_s" | "le_s"): boolean {
		if (setter.overflow !== undefined) return false;
		if (setter.kind === FLAG_KIND.sub && setter.plain) this.#compare(t, setter.size, operation);
		else if (setter.logic) this.#sign(t, setter.size, operation);
		else return false;
		return true;
	}

	/** Pushes CF as 0 or 1; false, with nothing pushed, if it needs all flags. */
	pushCarry(code: Code, setter: Setter): boolean {
		if (setter.carry !== undefined) code.get(setter.carry);
		else if (setter.logic) code.i32(0);
		else if (setter.kind === FLAG_KIND.result) code.get(this.#a).op("i32.wrap_i64");
		else if (!setter.plain) return false;
		else if (setter.kind === FLAG_KIND.sub) code.get(this.#a).get(this.#b).op("i64.lt_u");
		else code.get(this.#result).get(this.#a).op("i64.lt_u");
		return true;
	}

	/** Compares a with b. */
	#compare(t: Translator, size: number, operation: string): void {
		const extend = operation.endsWith("_s");
		this.#operand(t, size, this.#a, extend);
		this.#operand(t, size, this.#b, extend);
		t.code.op(`${typeOf(size)}.${operation}` as OpName);
	}
	/** Compares the result with zero. */
	#sign(t: Translator, size: number, operation: string): void {
		this.#operand(t, size, this.#result, operation !== "eq");
		t.code.constant(typeOf(size), 0n).op(`${typeOf(size)}.${operation}` as OpName);
	}
	#operand(t: Translator, size: number, local: number, extend: boolean): void {
		t.code.get(local);
		if (size === 64) return;
		t.code.op("i32.wrap_i64");
		if (extend) t.signed(size);
	}
}
