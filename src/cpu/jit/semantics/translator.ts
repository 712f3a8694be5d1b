import { RBP, RSP } from "../../cpu.js";
import type {
	ImmediateOperand,
	Instruction,
	MemoryOperand,
	Operand,
	RegisterOperand,
	Semantic,
} from "../../x86/index.js";
import { AREA, REASON } from "../area.js";
import type { Code, MemoryOp, OpName, Type } from "../wasm/index.js";
import { CF_FIXED, CF_VALUE, OF_FIXED, OF_VALUE } from "./lazy-flags.js";

/** Emits an instruction. */
export type Emit = (t: Translator, i: Instruction) => void;
export type SemanticTable = Partial<Record<Semantic, Emit>>;

/** Indices of the functions that translated code calls, in its module. */
export interface FunctionIndices {
	readonly divide: number;
	readonly flags: number;
	readonly umulh: number;
}

export type Access = "r" | "w" | "rw";

/** Through rsp and rbp a program addresses the stack segment, if no prefix names another (SDM volume 1, 3.7.4). */
export function inStackSegment({ base, gs }: MemoryOperand): boolean {
	return !gs && (base === RSP || base === RBP);
}

/** Loads and stores by operand size in bits. */
export const LOADS: Readonly<Record<number, MemoryOp>> = {
	8: "i32.load8_u",
	16: "i32.load16_u",
	32: "i32.load",
	64: "i64.load",
};
export const STORES: Readonly<Record<number, MemoryOp>> = {
	8: "i32.store8",
	16: "i32.store16",
	32: "i32.store",
	64: "i64.store",
};

export const typeOf = (size: number): Type => (size === 64 ? "i64" : "i32");

/** An operand that has passed all checks, and can be read and written. */
export type Place = { readonly kind: "reg"; readonly operand: RegisterOperand } | MemoryPlace;

export interface MemoryPlace {
	readonly kind: "mem";
	/** Local with a byte offset in the backing store, and a distance from it. */
	readonly host: number;
	readonly offset: number;
	readonly size: number;
	readonly writes: boolean;
}

/**
 * The language in which semantics are written: it emits their parts into `code`. The two tiers implement it. Values are
 * in wasm locals: i64 for 64 bits, i32 (zero-extended) for less. An instruction must not change anything that the guest
 * can see before its last {@link place}, because place() can fault.
 */
export abstract class Translator {
	readonly code: Code;
	/** Local with the instructions that may still run. */
	readonly fuel: number;
	readonly functions: FunctionIndices;

	constructor(code: Code, fuel: number, functions: FunctionIndices) {
		this.code = code;
		this.fuel = fuel;
		this.functions = functions;
	}

	// ---- each tier has its own ----

	/** Pushes a register; `high`: ah, ch, dh, bh. */
	abstract getRegister(reg: number, size: number, high?: boolean): Code;
	/** Sets a register to a local. Writing 32 bits clears the upper half; 8 and 16 leave the rest alone. */
	abstract setRegister(reg: number, size: number, value: number, high?: boolean): void;
	/**
	 * Checks an access to the address in an i64 local (SDM volume 3, 4.6). `of`: the operand that the address belongs to,
	 * which says whether it is in the stack segment.
	 */
	abstract placeAt(address: number, bits: number, access: Access, of?: MemoryOperand): Place;
	/** Emitted after the bytes of a store are written. */
	abstract finishStore(place: Place): void;
	/** Leaves the instruction undone, for the {@link REASON}, if the i32 on the stack is not zero. */
	abstract bailIf(reason: number): void;
	/** Pays for another turn of the instruction; without fuel the instruction ends here, after `end` is emitted, to be entered again. */
	abstract payTurn(end: () => void): void;
	/** Sets the lazy flags to a {@link FLAG_KIND}, operands and result. */
	abstract setFlags(kind: number, size: number, a: number | undefined, b: number | undefined, r: number): void;
	/** Adds to flags that have just been set: CF is the i32 local, 0 or 1. */
	abstract fixCarry(carry: number): void;
	/** The same for CF and OF. */
	abstract fixCarryOverflow(carry: number, overflow: number): void;
	/** The status flags now, as rflags has them, in an i32 local. */
	abstract flags(): number;
	/** Sets all status flags to the i32 local. */
	abstract setEagerFlags(flags: number): void;
	/** Begins what is done if the i32 on the stack, the condition of a relative branch, is not zero. */
	ifTaken(_: Instruction): void {
		this.code.if();
	}
	/** Goes on at the target of the instruction, which is a relative branch; nothing after it is reached. */
	abstract branch(i: Instruction): void;
	/** The address behind the current instruction, in an i64 local. */
	abstract returnAddress(): number;
	/** Goes on at the address in an i64 local. */
	abstract gotoDynamic(target: number): void;

	// ---- locals and values ----

	temp(type: Type): number {
		return this.code.temp(type);
	}
	/** Moves the value on the stack into a temporary local. */
	keep(type: Type): number {
		const local = this.temp(type);
		this.code.set(local);
		return local;
	}

	register64(reg: number): number {
		this.getRegister(reg, 64);
		return this.keep("i64");
	}

	/** A stack slot, or any other place at a distance from a register. */
	near(reg: number, disp: number, size = 64): MemoryOperand {
		const plain = { kind: "mem", index: -1, scale: 1, ripRelative: false, gs: false, address32: false } as const;
		return { ...plain, base: reg, disp: BigInt(disp), size };
	}

	binary(name: string, size: number, a: number, b: number): number {
		const type = typeOf(size);
		this.code
			.get(a)
			.get(b)
			.op(`${type}.${name}` as OpName);
		this.mask(size);
		return this.keep(type);
	}
	/** Zero-extends the value on the stack from 8 or 16 bits. */
	mask(size: number): void {
		if (size < 32) this.code.i32(size === 8 ? 0xff : 0xffff).op("i32.and");
	}
	/** Sign-extends the value on the stack to the whole wasm type. */
	signed(size: number): void {
		if (size < 32) this.code.op(size === 8 ? "i32.extend8_s" : "i32.extend16_s");
	}
	constant(size: number, value: bigint): number {
		this.code.constant(typeOf(size), value);
		return this.keep(typeOf(size));
	}

	/** Pushes a value of `size` as i64, zero-extended. */
	widened(size: number, value: number): Code {
		this.code.get(value);
		if (size !== 64) this.code.op("i64.extend_i32_u");
		return this.code;
	}

	// ---- memory ----

	/** The linear address of a memory operand, in an i64 local. */
	address(operand: MemoryOperand, adjust?: number): number {
		const { code } = this;
		if (operand.base < 0) code.i64(operand.disp);
		else this.getRegister(operand.base, 64);
		if (operand.base >= 0 && operand.disp !== 0n) code.i64(operand.disp).op("i64.add");
		if (operand.index >= 0) {
			this.getRegister(operand.index, 64);
			if (operand.scale > 1) code.i64(BigInt(Math.log2(operand.scale))).op("i64.shl");
			code.op("i64.add");
		}
		if (adjust !== undefined) code.get(adjust).op("i64.add");
		if (operand.address32) code.i64(0xffffffffn).op("i64.and");
		if (operand.gs) code.i32(0).memory("i64.load", AREA.gsBase).op("i64.add");
		return this.keep("i64");
	}

	/** Checks the access to an operand. */
	place(operand: Operand, access: Access): Place {
		if (operand.kind === "reg") return { kind: "reg", operand };
		if (operand.kind === "mem") return this.placeAt(this.address(operand), operand.size, access, operand);
		throw new Error("not a place");
	}
	load(place: Place): number {
		if (place.kind === "reg") this.getRegister(place.operand.reg, place.operand.size, place.operand.high);
		else this.code.get(place.host).memory(LOADS[place.size]!, place.offset);
		return this.keep(typeOf(place.kind === "reg" ? place.operand.size : place.size));
	}
	store(place: Place, value: number): void {
		if (place.kind === "reg") {
			this.setRegister(place.operand.reg, place.operand.size, value, place.operand.high);
			return;
		}
		this.code.get(place.host).get(value).memory(STORES[place.size]!, place.offset);
		this.finishStore(place);
	}
	immediate(operand: ImmediateOperand): number {
		return this.constant(operand.size, operand.value);
	}
	/** Reads an operand into a local. */
	value(operand: Operand): number {
		if (operand.kind === "imm") return this.immediate(operand);
		return this.load(this.place(operand, "r"));
	}

	// ---- flags ----

	/** Changes the kind word on the stack: CF is the i32 local. */
	withCarry(carry: number): void {
		this.code.i32(~CF_VALUE).op("i32.and").i32(CF_FIXED).op("i32.or").get(carry).i32(13).op("i32.shl").op("i32.or");
	}
	/** The same for OF. */
	withOverflow(overflow: number): void {
		this.code.i32(~OF_VALUE).op("i32.and").i32(OF_FIXED).op("i32.or").get(overflow).i32(15).op("i32.shl").op("i32.or");
	}
	/** CF as 0 or 1, in an i32 local. */
	carry(): number {
		this.code.get(this.flags()).i32(1).op("i32.and");
		return this.keep("i32");
	}

	/** Pushes 1 if the condition holds, else 0. SDM volume 1, appendix B. */
	condition(condition: number): void {
		const { code } = this;
		const flags = this.flags();
		const bit = (mask: number): void => {
			code.get(flags).i32(mask).op("i32.and").op("i32.eqz").op("i32.eqz");
		};
		const masks = [0x800, 0x1, 0x40, 0x41, 0x80, 0x4];
		const pair = condition >> 1;
		if (pair < 6) bit(masks[pair]!);
		else {
			code.get(flags).i32(7).op("i32.shr_u").get(flags).i32(11).op("i32.shr_u").op("i32.xor").i32(1).op("i32.and");
			if (pair === 7) {
				bit(0x40);
				code.op("i32.or");
			}
		}
		if ((condition & 1) === 1) code.op("i32.eqz");
	}

	/** Bails with general-protection unless the address in the local is canonical: 48 bits, sign-extended. */
	requireCanonical(address: number): void {
		this.code.get(address).i64(16n).op("i64.shl").i64(16n).op("i64.shr_s").get(address).op("i64.ne");
		this.bailIf(REASON.general);
	}
}
