import type { Instruction, Semantic } from "../../x86/index.js";
import { AREA } from "../area.js";
import type { OpName } from "../wasm/index.js";
import { CF_FIXED, FLAG_KIND, OF_FIXED, RESULT_FOLLOWS, Translator, typeOf } from "./translator.js";

/** The instruction that set the flags, as far as it is known where they are used. */
interface Setter {
	readonly kind: number;
	readonly size: number;
	/** Result, carry and overflow follow from a and b alone. */
	readonly plain: boolean;
	/** CF and OF are zero. */
	readonly logic: boolean;
	/** CF, when it is not the setter's. */
	readonly carry: number | undefined;
	readonly overflow: number | undefined;
}

const PLAIN = new Set<Semantic>(["add", "sub", "cmp", "and", "or", "xor", "test", "neg", "inc", "dec"]);
/** With a count of zero these leave the flags alone. */
const COUNTED = new Set<Semantic>(["shl", "shr", "sar", "rol", "ror", "rcl", "rcr", "shld", "shrd"]);

/** Lazy flags in locals. Conditions are computed from the operands of the instruction that set the flags, where it is known. */
export abstract class LazyFlags extends Translator {
	readonly #kind = this.code.local("i32");
	readonly #a = this.code.local("i64");
	readonly #b = this.code.local("i64");
	readonly #r = this.code.local("i64");
	/** The result once more, for conditions: it need not live as long as the flags. */
	readonly #result = this.code.local("i64");
	readonly #carry = this.code.local("i32");
	readonly #overflow = this.code.local("i32");
	instruction: Instruction | undefined;
	setter: Setter | undefined;
	/** Nobody looks at the flags of this instruction. */
	deadFlags = false;

	loadFlags(): void {
		const { code } = this;
		code.i32(0).memory("i32.load", AREA.flagKind).set(this.#kind);
		code.i32(0).memory("i64.load", AREA.flagA).set(this.#a);
		code.i32(0).memory("i64.load", AREA.flagB).set(this.#b);
		code.i32(0).memory("i64.load", AREA.flagR).set(this.#r);
	}
	storeFlags(): void {
		const { code } = this;
		code.i32(0).get(this.#kind).memory("i32.store", AREA.flagKind);
		code.i32(0).get(this.#a).memory("i64.store", AREA.flagA);
		code.i32(0).get(this.#b).memory("i64.store", AREA.flagB);
		code.i32(0).get(this.#r).memory("i64.store", AREA.flagR);
	}

	/** After each instruction. */
	finish(i: Instruction, _before?: unknown): void {
		if (!COUNTED.has(i.row.semantic)) return;
		const count = i.operands.at(-1)!;
		const mask = i.size === 64 ? 63n : 31n;
		// Whether it set the flags is only known when it runs.
		if (count.kind !== "imm" || (count.value & mask) === 0n) this.setter = undefined;
	}

	override setFlags(kind: number, size: number, a: number | undefined, b: number | undefined, r: number): void {
		const plain = PLAIN.has(this.instruction!.row.semantic);
		const logic = kind === FLAG_KIND.result && a === undefined;
		// What is not kept takes no register until the flags are set again.
		const follows = logic ? CF_FIXED | OF_FIXED : plain ? RESULT_FOLLOWS : 0;
		this.code.i32(kind | ((64 - size) << 4) | follows).set(this.#kind);
		if (!logic) {
			this.widened(size, a!).set(this.#a);
			this.widened(size, b!).set(this.#b);
		}
		if (follows !== RESULT_FOLLOWS) this.widened(size, r).set(this.#r);
		this.widened(size, r).set(this.#result);
		this.setter = { kind, size, plain, logic, carry: undefined, overflow: undefined };
	}

	override fixCarry(carry: number): void {
		const { code } = this;
		code.get(this.#kind);
		this.withCarry(carry);
		code.set(this.#kind).get(carry).set(this.#carry);
		if (this.setter !== undefined) this.setter = { ...this.setter, carry: this.#carry };
	}
	override fixCarryOverflow(carry: number, overflow: number): void {
		this.fixCarry(carry);
		const { code } = this;
		code.get(this.#kind);
		this.withOverflow(overflow);
		code.set(this.#kind).get(overflow).set(this.#overflow);
		if (this.setter !== undefined) this.setter = { ...this.setter, overflow: this.#overflow };
	}

	override flags(): number {
		this.code.get(this.#kind).get(this.#a).get(this.#b).get(this.#r).call(this.functions.flags);
		return this.keep("i32");
	}
	override setEagerFlags(flags: number): void {
		const { code } = this;
		code.i32(FLAG_KIND.eager).set(this.#kind);
		code.get(flags).op("i64.extend_i32_u").set(this.#r);
		this.setter = undefined;
	}

	override carry(): number {
		if (this.deadFlags && this.instruction!.row.reads === "") return this.constant(32, 0n);
		if (this.setter !== undefined && this.#pushCarry(this.setter)) return this.keep("i32");
		return super.carry();
	}

	override condition(condition: number): void {
		const { setter } = this;
		if (setter === undefined || !this.#push(condition >> 1, setter)) super.condition(condition);
		else if ((condition & 1) === 1) this.code.op("i32.eqz");
	}

	/** Pushes one of the eight conditions; false when it is not that easy. SDM volume 1, appendix B. */
	#push(pair: number, setter: Setter): boolean {
		const difference = setter.kind === FLAG_KIND.sub && setter.plain;
		const ordered = difference && setter.overflow === undefined;
		switch (pair) {
			case 1:
				return this.#pushCarry(setter);
			case 2:
				if (difference) this.#compare(setter.size, "eq");
				else this.#sign(setter.size, "eq");
				return true;
			case 3:
				if (difference && setter.carry === undefined) {
					this.#compare(setter.size, "le_u");
					return true;
				}
				if (!this.#pushCarry(setter)) return false;
				this.#sign(setter.size, "eq");
				this.code.op("i32.or");
				return true;
			case 4:
				this.#sign(setter.size, "lt_s");
				return true;
			case 6:
			case 7: {
				const operation = pair === 6 ? "lt_s" : "le_s";
				if (ordered) this.#compare(setter.size, operation);
				else if (setter.logic && setter.overflow === undefined) this.#sign(setter.size, operation);
				else return false;
				return true;
			}
			default:
				return false;
		}
	}

	#pushCarry(setter: Setter): boolean {
		const { code } = this;
		if (setter.carry !== undefined) code.get(setter.carry);
		else if (setter.logic) code.i32(0);
		else if (setter.kind === FLAG_KIND.result) code.get(this.#a).op("i32.wrap_i64");
		else if (!setter.plain) return false;
		else if (setter.kind === FLAG_KIND.sub) code.get(this.#a).get(this.#b).op("i64.lt_u");
		else code.get(this.#result).get(this.#a).op("i64.lt_u");
		return true;
	}

	/** Compares a with b. */
	#compare(size: number, operation: string): void {
		const extend = operation.endsWith("_s");
		this.#operand(size, this.#a, extend);
		this.#operand(size, this.#b, extend);
		this.code.op(`${typeOf(size)}.${operation}` as OpName);
	}
	/** Compares the result with zero. */
	#sign(size: number, operation: string): void {
		this.#operand(size, this.#result, operation !== "eq");
		this.code.constant(typeOf(size), 0n).op(`${typeOf(size)}.${operation}` as OpName);
	}
	#operand(size: number, local: number, extend: boolean): void {
		this.code.get(local);
		if (size === 64) return;
		this.code.op("i32.wrap_i64");
		if (extend) this.signed(size);
	}
}
