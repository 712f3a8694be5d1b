import type { Instruction } from "../../x86/index.js";
import type { OpName } from "../wasm/index.js";
import { FLAG_KIND } from "./lazy-flags.js";
import { type Emit, type Place, type SemanticTable, type Translator, typeOf } from "./translator.js";

/** i64 copy of a value local. */
function wide(t: Translator, size: number, value: number, signed = false): number {
	t.code.get(value);
	if (signed) t.signed(size);
	if (size !== 64) t.code.op(signed ? "i64.extend_i32_s" : "i64.extend_i32_u");
	return t.keep("i64");
}

/** The shift count, masked to 5 or 6 bits, in an i64 local. */
function count(t: Translator, i: Instruction): number {
	const operand = i.operands.at(-1)!;
	const value = t.value(operand);
	t.widened("size" in operand && operand.size === 64 ? 64 : 8, value);
	t.code.i64(i.size === 64 ? 63n : 31n).op("i64.and");
	return t.keep("i64");
}

/** From an i64 local: the low `size` bits as a value local. */
function narrow(t: Translator, size: number, value: number): number {
	t.code.get(value);
	if (size !== 64) t.code.op("i32.wrap_i64");
	t.mask(size);
	return t.keep(typeOf(size));
}

/** Pushes bit `bit` of an i64 local, as i64. */
function bit(t: Translator, value: number, index: bigint): void {
	t.code.get(value).i64(index).op("i64.shr_u").i64(1n).op("i64.and");
}

/** The i64 on the stack as a value local for setFlags. */
function flagValue(t: Translator, size: number): number {
	if (size !== 64) t.code.op("i32.wrap_i64");
	return t.keep(typeOf(size));
}

function shift(name: "shl" | "shr" | "sar"): Emit {
	return (t, i) => {
		const { code } = t;
		const { size } = i;
		const place = t.place(i.operands[0]!, "rw");
		const n = count(t, i);
		const value = wide(t, size, t.load(place), name === "sar");
		code
			.get(value)
			.get(n)
			.op(name === "shl" ? "i64.shl" : name === "shr" ? "i64.shr_u" : "i64.shr_s");
		const whole = t.keep("i64");
		const r = narrow(t, size, whole);
		t.store(place, r);
		code.get(n).op("i64.eqz").op("i32.eqz");
		code.if();
		// CF: the last bit shifted out.
		if (name === "shl" && size === 64) code.get(value).i64(64n).get(n).op("i64.sub").op("i64.shr_u");
		else if (name === "shl") code.get(whole).i64(BigInt(size)).op("i64.shr_u");
		else
			code
				.get(value)
				.get(n)
				.i64(1n)
				.op("i64.sub")
				.op(name === "sar" ? "i64.shr_s" : "i64.shr_u");
		code.i64(1n).op("i64.and");
		const carry = t.keep("i64");
		if (name === "shl") {
			bit(t, whole, BigInt(size - 1));
			code.get(carry).op("i64.xor");
		} else if (name === "shr") bit(t, value, BigInt(size - 1));
		else code.i64(0n);
		const overflow = flagValue(t, size);
		code.get(carry);
		t.setFlags(FLAG_KIND.result, size, flagValue(t, size), overflow, r);
		code.end();
	};
}

/** With the i64 locals CF and OF: changes those two flags. */
function setCarryOverflow(t: Translator, carry: number, overflow: number): void {
	t.fixCarryOverflow(narrow(t, 32, carry), narrow(t, 32, overflow));
}

function rotate(name: "rol" | "ror"): Emit {
	return (t, i) => {
		const { code } = t;
		const { size } = i;
		const bits = BigInt(size);
		const place = t.place(i.operands[0]!, "rw");
		const n = count(t, i);
		const value = wide(t, size, t.load(place));
		code
			.get(n)
			.i64(bits - 1n)
			.op("i64.and");
		const k = t.keep("i64");
		if (size === 64)
			code
				.get(value)
				.get(k)
				.op(name === "rol" ? "i64.rotl" : "i64.rotr");
		else {
			code
				.get(value)
				.get(k)
				.op(name === "rol" ? "i64.shl" : "i64.shr_u");
			code.get(value).i64(bits).get(k).op("i64.sub");
			code.op(name === "rol" ? "i64.shr_u" : "i64.shl").op("i64.or");
		}
		const whole = t.keep("i64");
		t.store(place, narrow(t, size, whole));
		code.get(n).op("i64.eqz").op("i32.eqz");
		code.if();
		bit(t, whole, name === "rol" ? 0n : bits - 1n);
		const carry = t.keep("i64");
		bit(t, whole, name === "rol" ? bits - 1n : bits - 2n);
		code.get(carry).op("i64.xor");
		setCarryOverflow(t, carry, t.keep("i64"));
		code.end();
	};
}

/** rcl and rcr rotate through CF: size + 1 bits. */
function rotateCarry(left: boolean): Emit {
	return (t, i) => {
		const { code } = t;
		const { size } = i;
		const bits = BigInt(size);
		const place = t.place(i.operands[0]!, "rw");
		const n = count(t, i);
		if (size < 32)
			code
				.get(n)
				.i64(bits + 1n)
				.op("i64.rem_u")
				.set(n);
		const value = wide(t, size, t.load(place));
		const carryIn = wide(t, 32, t.carry());
		const whole = t.temp("i64");
		const [there, back] = left ? (["i64.shl", "i64.shr_u"] as const) : (["i64.shr_u", "i64.shl"] as const);
		code.get(value).set(whole);
		code.get(n).op("i64.eqz").op("i32.eqz");
		code.if();
		code.get(value).get(n).op(there);
		code.get(value).i64(bits).get(n).op("i64.sub").op(back).i64(1n).op(back).op("i64.or");
		code.get(carryIn);
		if (left) code.get(n).i64(1n).op("i64.sub");
		else code.i64(bits).get(n).op("i64.sub");
		code.op("i64.shl").op("i64.or").set(whole);
		code.get(value);
		if (left) code.i64(bits).get(n).op("i64.sub");
		else code.get(n).i64(1n).op("i64.sub");
		code.op("i64.shr_u").i64(1n).op("i64.and");
		const carry = t.keep("i64");
		bit(t, whole, bits - 1n);
		if (left) code.get(carry);
		else bit(t, whole, bits - 2n);
		code.op("i64.xor");
		setCarryOverflow(t, carry, t.keep("i64"));
		code.end();
		t.store(place, narrow(t, size, whole));
	};
}

/** shld and shrd. */
function double(left: boolean): Emit {
	return (t, i) => {
		const { code } = t;
		const { size } = i;
		const bits = BigInt(size);
		const place = t.place(i.operands[0]!, "rw");
		const n = count(t, i);
		const value = wide(t, size, t.load(place));
		const other = wide(t, size, t.value(i.operands[1]!));
		const whole = t.temp("i64");
		const [there, back] = left ? (["i64.shl", "i64.shr_u"] as const) : (["i64.shr_u", "i64.shl"] as const);
		code.get(value).set(whole);
		code.get(n).op("i64.eqz").op("i32.eqz");
		code.if();
		code.get(value).get(n).op(there);
		code.get(other).i64(bits).get(n).op("i64.sub").op(back).op("i64.or").set(whole);
		code.get(value);
		if (left) code.i64(bits).get(n).op("i64.sub");
		else code.get(n).i64(1n).op("i64.sub");
		code.op("i64.shr_u").i64(1n).op("i64.and");
		const carry = flagValue(t, size);
		bit(t, whole, bits - 1n);
		bit(t, value, bits - 1n);
		code.op("i64.xor");
		const overflow = flagValue(t, size);
		t.setFlags(FLAG_KIND.result, size, carry, overflow, narrow(t, size, whole));
		code.end();
		t.store(place, narrow(t, size, whole));
	};
}

/** bt with a register offset reaches any bit from the address on, also backwards. SDM volume 2, BT. */
function bitPlace(t: Translator, i: Instruction, offset: number, access: "r" | "rw"): Place {
	const target = i.operands[0]!;
	if (target.kind !== "mem" || i.operands[1]!.kind === "imm") return t.place(target, access);
	const bytes = wide(t, i.size, offset, true);
	t.code
		.get(bytes)
		.i64(BigInt(Math.log2(i.size)))
		.op("i64.shr_s");
	t.code.i64(BigInt(i.size / 8)).op("i64.mul");
	return t.placeAt(t.address(target, t.keep("i64")), i.size, access, target);
}

function bitTest(change?: "or" | "andnot" | "xor"): Emit {
	return (t, i) => {
		const { code } = t;
		const { size } = i;
		const type = typeOf(size);
		const offset = t.value(i.operands[1]!);
		const place = bitPlace(t, i, offset, change === undefined ? "r" : "rw");
		const value = t.load(place);
		code
			.get(offset)
			.constant(type, BigInt(size - 1))
			.op(`${type}.and` as OpName);
		const k = t.keep(type);
		code
			.get(value)
			.get(k)
			.op(`${type}.shr_u` as OpName)
			.constant(type, 1n)
			.op(`${type}.and` as OpName);
		if (size === 64) code.op("i32.wrap_i64");
		const carry = t.keep("i32");
		if (change !== undefined) {
			code
				.constant(type, 1n)
				.get(k)
				.op(`${type}.shl` as OpName);
			if (change === "andnot") code.constant(type, -1n).op(`${type}.xor` as OpName);
			const mask = t.keep(type);
			t.store(place, t.binary(change === "andnot" ? "and" : change, size, value, mask));
		}
		t.fixCarry(carry);
	};
}

/** Pushes 1 if the value is zero, else 0. */
function isZero(t: Translator, size: number, value: number): void {
	t.code.get(value).op(`${typeOf(size)}.eqz` as OpName);
}

/** Number of zero bits above (clz) or below (ctz), in `size` bits; `size` for zero. */
function zeros(t: Translator, size: number, value: number, name: "clz" | "ctz"): number {
	const type = typeOf(size);
	t.code.get(value);
	if (size === 16 && name === "ctz") t.code.i32(0x10000).op("i32.or");
	t.code.op(`${type}.${name}` as OpName);
	if (size === 16 && name === "clz") t.code.i32(16).op("i32.sub");
	return t.keep(type);
}

/** bsf and bsr do not change the destination if the source is zero (AMD's manual; Intel's hardware too). */
function scan(forward: boolean): Emit {
	return (t, i) => {
		const { code } = t;
		const { size } = i;
		const value = t.value(i.operands[1]!);
		const place = t.place(i.operands[0]!, "w");
		isZero(t, size, value);
		code.op("i32.eqz");
		code.if();
		const found = zeros(t, size, value, forward ? "ctz" : "clz");
		t.store(place, forward ? found : t.binary("sub", size, t.constant(size, BigInt(size - 1)), found));
		code.end();
		code.get(t.flags()).i32(~0x40).op("i32.and");
		isZero(t, size, value);
		code.i32(6).op("i32.shl").op("i32.or");
		t.setEagerFlags(t.keep("i32"));
	};
}

function countZeros(name: "clz" | "ctz"): Emit {
	return (t, i) => {
		const { code } = t;
		const { size } = i;
		const value = t.value(i.operands[1]!);
		const found = zeros(t, size, value, name);
		t.store(t.place(i.operands[0]!, "w"), found);
		code.get(t.flags()).i32(~0x41).op("i32.and");
		isZero(t, size, value);
		code.op("i32.or");
		isZero(t, size, found);
		code.i32(6).op("i32.shl").op("i32.or");
		t.setEagerFlags(t.keep("i32"));
	};
}

const popcnt: Emit = (t, i) => {
	const value = t.value(i.operands[1]!);
	t.code.get(value).op(`${typeOf(i.size)}.popcnt` as OpName);
	t.store(t.place(i.operands[0]!, "w"), t.keep(typeOf(i.size)));
	isZero(t, i.size, value);
	t.code.i32(6).op("i32.shl");
	t.setEagerFlags(t.keep("i32"));
};

/** CRC-32C, reflected, one bit at a time. */
const crc32: Emit = (t, i) => {
	const { code } = t;
	const source = i.operands[1]!;
	if (source.kind !== "reg" && source.kind !== "mem") throw new Error("crc32 operand");
	const data = wide(t, source.size, t.value(source));
	const target = i.operands[0]!;
	if (target.kind !== "reg") throw new Error("crc32 operand");
	t.getRegister(target.reg, 32).op("i64.extend_i32_u").get(data).op("i64.xor");
	const x = t.keep("i64");
	const left = t.temp("i32");
	code.i32(source.size).set(left);
	const again = code.loop();
	code.get(x).i64(1n).op("i64.shr_u");
	code.i64(0n).get(x).i64(1n).op("i64.and").op("i64.sub").i64(0x82f63b78n).op("i64.and").op("i64.xor").set(x);
	code.get(left).i32(1).op("i32.sub").tee(left).brIf(again);
	code.end();
	t.setRegister(target.reg, 64, x);
};

export const BITS: SemanticTable = {
	shl: shift("shl"),
	shr: shift("shr"),
	sar: shift("sar"),
	rol: rotate("rol"),
	ror: rotate("ror"),
	rcl: rotateCarry(true),
	rcr: rotateCarry(false),
	shld: double(true),
	shrd: double(false),
	bt: bitTest(),
	bts: bitTest("or"),
	btr: bitTest("andnot"),
	btc: bitTest("xor"),
	bsf: scan(true),
	bsr: scan(false),
	tzcnt: countZeros("ctz"),
	lzcnt: countZeros("clz"),
	popcnt,
	crc32,
};
