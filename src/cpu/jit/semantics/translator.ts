import { BACKING } from "../../../memory/index.js";
import type { MemoryOperand, Operand, RegisterOperand } from "../../x86/index.js";
import { AREA, JUMP_SLOTS, REASON } from "../area.js";
import type { Code, Label, MemoryOp, OpName, Type } from "../wasm/index.js";

/** Functions that generated code imports, in index order, and the helpers of each module after them. */
export const IMPORT = { prepare: 0, commit: 1, divide: 2, gate: 3 } as const;

/** Where the functions that translated code calls stand in a module's index space. */
export interface FunctionIndices {
	readonly divide: number;
	readonly flags: number;
	readonly umulh: number;
}

export type Access = "r" | "w" | "rw";
/** Lazy flags: how the status flags follow from a, b and the result. */
export const FLAG_KIND = { eager: 0, add: 1, sub: 2, result: 3 } as const;
/** In the kind word: CF does not follow but is bit {@link CF_VALUE}. */
export const CF_FIXED = 0x1000;
export const CF_VALUE = 0x2000;
/** The same for OF. */
export const OF_FIXED = 0x4000;
export const OF_VALUE = 0x8000;
/** The result is not kept: it is the sum or the difference of a and b. */
export const RESULT_FOLLOWS = 0x10000;

/** PTE bit of ours: a writable page holds translated code, so stores go to the host. */
export const PTE_CODE = 8;

const LOADS: Record<number, MemoryOp> = { 8: "i32.load8_u", 16: "i32.load16_u", 32: "i32.load", 64: "i64.load" };
const STORES: Record<number, MemoryOp> = { 8: "i32.store8", 16: "i32.store16", 32: "i32.store", 64: "i64.store" };

export const typeOf = (size: number): Type => (size === 64 ? "i64" : "i32");

/** Where an operand can be read and written, after all checks. */
export type Place = { readonly kind: "reg"; readonly operand: RegisterOperand } | MemoryPlace;

export interface MemoryPlace {
	readonly kind: "mem";
	readonly host: number;
	readonly offset: number;
	readonly size: number;
	readonly writes: boolean;
}

/**
 * Emits the parts that semantics are made of. Values are in wasm locals: i64 for 64 bits, i32 (zero-extended) for less.
 * Nothing that the guest can see may change before the last {@link place} of an instruction, because place() can fault.
 */
export abstract class Translator {
	readonly code: Code;
	/** Left when an instruction cannot complete; REASON in {@link why}. */
	bail!: Label;
	readonly why: number;
	/** Set when a store changed translated code. */
	readonly stale: number;
	readonly fuel: number;
	readonly functions: FunctionIndices;
	wrote = false;

	constructor(code: Code, fuel: number, functions: FunctionIndices) {
		this.code = code;
		this.fuel = fuel;
		this.functions = functions;
		this.why = code.local("i32");
		this.stale = code.local("i32");
	}

	temp(type: Type): number {
		return this.code.temp(type);
	}
	/** Keeps what is on the stack. */
	keep(type: Type): number {
		const local = this.temp(type);
		this.code.set(local);
		return local;
	}

	getRegister(reg: number, size: number, high = false): Code {
		return this.code.i32(0).memory(LOADS[size]!, AREA.words + 8 * reg + (high ? 1 : 0));
	}
	/** Writing 32 bits clears the upper half; 8 and 16 leave the rest alone. */
	setRegister(reg: number, size: number, value: number, high = false): void {
		const offset = AREA.words + 8 * reg + (high ? 1 : 0);
		this.code.i32(0).get(value);
		if (size === 32) this.code.op("i64.extend_i32_u").memory("i64.store", offset);
		else this.code.memory(STORES[size]!, offset);
	}
	register64(reg: number): number {
		this.getRegister(reg, 64);
		return this.keep("i64");
	}

	/** From an address (i64) in the window on the stack to its page table entry. */
	pageEntry(): void {
		const { code } = this;
		code.op("i32.wrap_i64").i32(10).op("i32.shr_u").i32(0x1ffffc).op("i32.and").memory("i32.load", BACKING.pageTable);
	}

	/** Leaves the function for the translation of the address in the i64 local, when there is one. `type`: of `run`. */
	jumpTo(target: number, type: number): void {
		const { code } = this;
		const low = this.temp("i32");
		const slot = this.temp("i32");
		code.get(target).op("i32.wrap_i64").tee(low).get(low).i32(13).op("i32.shr_u").op("i32.xor");
		code
			.i32(JUMP_SLOTS - 1)
			.op("i32.and")
			.i32(4)
			.op("i32.shl")
			.tee(slot);
		code.memory("i32.load", AREA.jumps).get(low).op("i32.eq");
		code.get(low).op("i64.extend_i32_s").get(target).op("i64.eq").op("i32.and");
		code.if();
		code
			.get(slot)
			.memory("i32.load", AREA.jumps + 4)
			.get(this.fuel);
		code
			.get(slot)
			.memory("i32.load", AREA.jumps + 8)
			.tailCallIndirect(type);
		code.end();
	}

	/** A stack slot, or any other place at a distance from a register. */
	near(reg: number, disp: number, size = 64): MemoryOperand {
		const plain = { kind: "mem", index: -1, scale: 1, ripRelative: false, gs: false, address32: false } as const;
		return { ...plain, base: reg, disp: BigInt(disp), size };
	}

	/** Leaves the instruction undone, for `reason`, if the i32 on the stack is not zero. */
	bailIf(reason: number): void {
		this.code.if();
		this.code.i32(reason).set(this.why).br(this.bail);
		this.code.end();
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
	/** Zero-extends what is on the stack from 8 or 16 bits. */
	mask(size: number): void {
		if (size < 32) this.code.i32(size === 8 ? 0xff : 0xffff).op("i32.and");
	}
	/** Sign-extends what is on the stack to the whole wasm type. */
	signed(size: number): void {
		if (size < 32) this.code.op(size === 8 ? "i32.extend8_s" : "i32.extend16_s");
	}
	constant(size: number, value: bigint): number {
		this.code.constant(typeOf(size), value);
		return this.keep(typeOf(size));
	}

	/** The linear address of a memory operand, in an i64 local. */
	address(operand: MemoryOperand, adjust?: number): number {
		const { code } = this;
		code.i64(operand.disp);
		if (operand.base >= 0) this.getRegister(operand.base, 64).op("i64.add");
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

	/** Checks `bits` at the address for the access; leaves the place in the backing store in a local. SDM volume 3, 4.6. */
	host(address: number, bits: number, access: Access): number {
		const { code } = this;
		const host = this.temp("i32");
		const entry = this.temp("i32");
		const need = access === "r" ? 1 : access === "w" ? 2 : 3;
		code.get(address).i64(31n).op("i64.shr_s").i64(-1n).op("i64.eq");
		code.get(address).op("i32.wrap_i64").set(host);
		code.get(address);
		this.pageEntry();
		code.tee(entry);
		code
			.i32(access === "r" ? need : need | PTE_CODE)
			.op("i32.and")
			.i32(need)
			.op("i32.eq")
			.op("i32.and");
		code.get(host).i32(0xfff).op("i32.and").tee(host);
		code
			.i32(4096 - bits / 8)
			.op("i32.le_u")
			.op("i32.and");
		code.if();
		code.get(entry).i32(-4096).op("i32.and").get(host).op("i32.or").set(host);
		code.else();
		code.i32(0).get(address).memory("i64.store", AREA.slowAddress);
		code
			.i32(bits / 8)
			.i32(need)
			.call(IMPORT.prepare)
			.tee(host)
			.op("i32.eqz");
		this.bailIf(REASON.fault);
		code.end();
		return host;
	}

	placeAt(address: number, bits: number, access: Access): Place {
		return { kind: "mem", host: this.host(address, bits, access), offset: 0, size: bits, writes: access !== "r" };
	}
	place(operand: Operand, access: Access): Place {
		if (operand.kind === "reg") return { kind: "reg", operand };
		if (operand.kind === "mem") return this.placeAt(this.address(operand), operand.size, access);
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
	/** After the bytes are written: the host takes over what went into the bounce buffer. */
	finishStore(place: Place): void {
		if (place.kind !== "mem") return;
		this.wrote = true;
		this.code.get(place.host).i32(BACKING.frames).op("i32.lt_u");
		this.code.if();
		this.code.call(IMPORT.commit).get(this.stale).op("i32.or").set(this.stale);
		this.code.end();
	}
	value(operand: Operand): number {
		if (operand.kind === "imm") return this.constant(operand.size, operand.value);
		return this.load(this.place(operand, "r"));
	}

	/** Pushes a value of `size` as i64, zero-extended. */
	widened(size: number, value: number): Code {
		this.code.get(value);
		if (size !== 64) this.code.op("i64.extend_i32_u");
		return this.code;
	}
	setFlags(kind: number, size: number, a: number | undefined, b: number | undefined, r: number): void {
		const { code } = this;
		code
			.i32(0)
			.i32(kind | ((64 - size) << 4))
			.memory("i32.store", AREA.flagKind);
		this.#storeFlagOperand(AREA.flagA, size, a);
		this.#storeFlagOperand(AREA.flagB, size, b);
		this.#storeFlagOperand(AREA.flagR, size, r);
	}
	#storeFlagOperand(offset: number, size: number, value: number | undefined): void {
		this.code.i32(0);
		if (value === undefined) this.code.i64(0n);
		else this.widened(size, value);
		this.code.memory("i64.store", offset);
	}
	/** Adds to the kind word: CF stays what it was (an i32 local, 0 or 1). */
	fixCarry(carry: number): void {
		const { code } = this;
		code.i32(0).i32(0).memory("i32.load", AREA.flagKind);
		this.withCarry(carry);
		code.memory("i32.store", AREA.flagKind);
	}
	/** The same for CF and OF. */
	fixCarryOverflow(carry: number, overflow: number): void {
		const { code } = this;
		code.i32(0).i32(0).memory("i32.load", AREA.flagKind);
		this.withCarry(carry);
		this.withOverflow(overflow);
		code.memory("i32.store", AREA.flagKind);
	}
	/** Changes the kind word on the stack. */
	withCarry(carry: number): void {
		this.code.i32(~CF_VALUE).op("i32.and").i32(CF_FIXED).op("i32.or").get(carry).i32(13).op("i32.shl").op("i32.or");
	}
	withOverflow(overflow: number): void {
		this.code.i32(~OF_VALUE).op("i32.and").i32(OF_FIXED).op("i32.or").get(overflow).i32(15).op("i32.shl").op("i32.or");
	}
	/** The status flags now, as they stand in rflags, in an i32 local. */
	flags(): number {
		this.code.call(this.functions.flags);
		return this.keep("i32");
	}
	/** Sets all status flags to the i32 local. */
	setEagerFlags(flags: number): void {
		const { code } = this;
		code.i32(0).i32(FLAG_KIND.eager).memory("i32.store", AREA.flagKind);
		code.i32(0).get(flags).op("i64.extend_i32_u").memory("i64.store", AREA.flagR);
	}
	/** Pushes CF as 0 or 1. */
	carry(): number {
		this.code.get(this.flags()).i32(1).op("i32.and");
		return this.keep("i32");
	}

	/** Pushes 1 when the condition holds, else 0. SDM volume 1, appendix B. */
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
		this.bailIf(REASON.nonCanonical);
	}

	/** Goes on at a known address; nothing after it is reached. */
	abstract goto(target: bigint): void;
	/** Goes on at the address in an i64 local. */
	abstract gotoDynamic(target: number): void;
}
