import { RAX, RDX } from "../../cpu.js";
import { AREA, REASON } from "../area.js";
import type { OpName } from "../wasm/index.js";
import { FLAG_KIND } from "./lazy-flags.js";
import { type Emit, type SemanticTable, type Translator, typeOf } from "./translator.js";

/** add, sub and their relatives; `name` is the wasm operation. */
function sum(name: "add" | "sub", withCarry: boolean, writes: boolean): Emit {
	return (t, i) => {
		const size = i.size;
		const carry = withCarry ? t.carry() : undefined;
		const place = t.place(i.operands[0]!, writes ? "rw" : "r");
		const b = t.value(i.operands[1]!);
		const a = t.load(place);
		let r = t.binary(name, size, a, b);
		if (carry !== undefined) {
			t.widened(32, carry);
			if (size !== 64) t.code.op("i32.wrap_i64");
			r = t.binary(name, size, r, t.keep(typeOf(size)));
		}
		if (writes) t.store(place, r);
		t.setFlags(FLAG_KIND[name], size, a, b, r);
	};
}

function logic(name: "and" | "or" | "xor", writes: boolean): Emit {
	return (t, i) => {
		const place = t.place(i.operands[0]!, writes ? "rw" : "r");
		const b = t.value(i.operands[1]!);
		const r = t.binary(name, i.size, t.load(place), b);
		if (writes) t.store(place, r);
		t.setFlags(FLAG_KIND.result, i.size, undefined, undefined, r);
	};
}

/** inc and dec do not change CF. */
function step(name: "add" | "sub"): Emit {
	return (t, i) => {
		const place = t.place(i.operands[0]!, "rw");
		const a = t.load(place);
		const carry = t.carry();
		const one = t.constant(i.size, 1n);
		const r = t.binary(name, i.size, a, one);
		t.store(place, r);
		t.setFlags(FLAG_KIND[name], i.size, a, one, r);
		t.fixCarry(carry);
	};
}

const not: Emit = (t, i) => {
	const place = t.place(i.operands[0]!, "rw");
	t.store(place, t.binary("xor", i.size, t.load(place), t.constant(i.size, -1n)));
};

const neg: Emit = (t, i) => {
	const place = t.place(i.operands[0]!, "rw");
	const zero = t.constant(i.size, 0n);
	const b = t.load(place);
	const r = t.binary("sub", i.size, zero, b);
	t.store(place, r);
	t.setFlags(FLAG_KIND.sub, i.size, zero, b, r);
};

/** Pushes an i32 local's value widened to i64, signed or not. */
function wide(t: Translator, size: number, value: number, signed: boolean): number {
	t.code.get(value);
	if (signed) t.signed(size);
	t.code.op(signed ? "i64.extend_i32_s" : "i64.extend_i32_u");
	return t.keep("i64");
}

/** CF = OF = the i32 on the stack; the other flags are undefined, and follow the result here. */
function overflowFlags(t: Translator, size: number, result: number): void {
	if (size === 64) t.code.op("i64.extend_i32_u");
	const overflow = t.keep(typeOf(size));
	t.setFlags(FLAG_KIND.result, size, overflow, overflow, result);
}

/** The upper half of a 64-bit product, in an i64 local. */
function highProduct(t: Translator, a: number, b: number, signed: boolean): number {
	const { code } = t;
	code.get(a).get(b).call(t.functions.umulh);
	if (signed) {
		code.get(a).i64(63n).op("i64.shr_s").get(b).op("i64.and").op("i64.sub");
		code.get(b).i64(63n).op("i64.shr_s").get(a).op("i64.and").op("i64.sub");
	}
	return t.keep("i64");
}

/** One-operand mul and imul: rdx:rax = rax * operand. */
function multiply(signed: boolean): Emit {
	return (t, i) => {
		const { code } = t;
		const size = i.size;
		const b = t.value(i.operands[0]!);
		t.getRegister(RAX, size);
		const a = t.keep(typeOf(size));
		if (size === 64) {
			const low = t.binary("mul", 64, a, b);
			const high = highProduct(t, a, b, signed);
			t.setRegister(RAX, 64, low);
			t.setRegister(RDX, 64, high);
			code.get(high);
			if (signed) code.get(low).i64(63n).op("i64.shr_s").op("i64.ne");
			else code.op("i64.eqz").op("i32.eqz");
			overflowFlags(t, size, low);
			return;
		}
		const product = t.binary("mul", 64, wide(t, size, a, signed), wide(t, size, b, signed));
		code.get(product).op("i32.wrap_i64");
		t.mask(size);
		const low = t.keep("i32");
		if (size === 8) {
			code.get(product).op("i32.wrap_i64").i32(0xffff).op("i32.and");
			t.setRegister(RAX, 16, t.keep("i32"));
		} else {
			code.get(product).i64(BigInt(size)).op("i64.shr_u").op("i32.wrap_i64");
			t.mask(size);
			t.setRegister(RDX, size, t.keep("i32"));
			t.setRegister(RAX, size, low);
		}
		code.get(product);
		productFits(t, size, low, signed);
		overflowFlags(t, size, low);
	};
}

/** Replaces the whole product on the stack by 1 if it does not fit its lower half, else 0. */
function productFits(t: Translator, size: number, low: number, signed: boolean): void {
	t.code.get(low);
	if (signed) t.signed(size);
	t.code.op(signed ? "i64.extend_i32_s" : "i64.extend_i32_u").op("i64.ne");
}

/** Two- and three-operand imul. */
const imul: Emit = (t, i) => {
	const { code } = t;
	const size = i.size;
	const a = t.value(i.operands.length === 3 ? i.operands[1]! : i.operands[0]!);
	const b = t.value(i.operands.length === 3 ? i.operands[2]! : i.operands[1]!);
	const place = t.place(i.operands[0]!, "w");
	if (size === 64) {
		const low = t.binary("mul", 64, a, b);
		const high = highProduct(t, a, b, true);
		t.store(place, low);
		code.get(high).get(low).i64(63n).op("i64.shr_s").op("i64.ne");
		overflowFlags(t, size, low);
		return;
	}
	const product = t.binary("mul", 64, wide(t, size, a, true), wide(t, size, b, true));
	code.get(product).op("i32.wrap_i64");
	t.mask(size);
	const low = t.keep("i32");
	t.store(place, low);
	code.get(product);
	productFits(t, size, low, true);
	overflowFlags(t, size, low);
};

/** div and idiv of less than 64 bits: the dividend fits an i64. */
function divideNarrow(t: Translator, size: number, divisor: number, signed: boolean): void {
	const { code } = t;
	const s = signed ? "s" : "u";
	if (size === 8) t.getRegister(RAX, 16).op("i64.extend_i32_u");
	else {
		t.getRegister(RDX, size).op("i64.extend_i32_u").i64(BigInt(size)).op("i64.shl");
		t.getRegister(RAX, size).op("i64.extend_i32_u").op("i64.or");
	}
	if (signed && size < 32) code.op(size === 8 ? "i64.extend16_s" : "i64.extend32_s");
	const dividend = t.keep("i64");
	const by = wide(t, size, divisor, signed);
	if (signed) {
		// The only quotient for which wasm itself would trap.
		code
			.get(dividend)
			.i64(-(1n << 63n))
			.op("i64.eq");
		code.get(by).i64(-1n).op("i64.eq").op("i32.and");
		t.bailIf(REASON.divide);
	}
	code.get(dividend).get(by).op(`i64.div_${s}`);
	const quotient = t.keep("i64");
	code.get(quotient);
	const limit = 64n - BigInt(size);
	code.i64(limit).op("i64.shl").i64(limit).op(`i64.shr_${s}`).get(quotient).op("i64.ne");
	t.bailIf(REASON.divide);
	code.get(dividend).get(by).op(`i64.rem_${s}`).op("i32.wrap_i64");
	t.mask(size);
	const remainder = t.keep("i32");
	code.get(quotient).op("i32.wrap_i64");
	t.mask(size);
	const low = t.keep("i32");
	t.setRegister(RAX, size, low);
	t.setRegister(size === 8 ? RAX : RDX, size, remainder, size === 8);
}

/** 128 by 64 bits: in wasm if the upper half is only the extension of the lower one, else by the host. */
function divideWide(t: Translator, divisor: number, signed: boolean): void {
	const { code } = t;
	const s = signed ? "s" : "u";
	const low = t.register64(RAX);
	const high = t.register64(RDX);
	const quotient = t.temp("i64");
	const remainder = t.temp("i64");
	code.get(high);
	if (signed) {
		code.get(low).i64(63n).op("i64.shr_s").op("i64.eq");
		// -2^63 / -1 goes to the host, which finds the overflow.
		code.get(divisor).i64(-1n).op("i64.ne").op("i32.and");
	} else code.op("i64.eqz");
	code.if();
	code.get(low).get(divisor).op(`i64.div_${s}`).set(quotient);
	code.get(low).get(divisor).op(`i64.rem_${s}`).set(remainder);
	code.else();
	code.i32(0).get(low).memory("i64.store", AREA.bounce);
	code
		.i32(0)
		.get(high)
		.memory("i64.store", AREA.bounce + 8);
	code
		.i32(0)
		.get(divisor)
		.memory("i64.store", AREA.bounce + 16);
	code.i32(signed ? 1 : 0).call(t.functions.divide);
	t.bailIf(REASON.divide);
	code.i32(0).memory("i64.load", AREA.bounce).set(quotient);
	code
		.i32(0)
		.memory("i64.load", AREA.bounce + 8)
		.set(remainder);
	code.end();
	t.setRegister(RAX, 64, quotient);
	t.setRegister(RDX, 64, remainder);
}

function divide(signed: boolean): Emit {
	return (t, i) => {
		const divisor = t.value(i.operands[0]!);
		t.code.get(divisor).op(`${typeOf(i.size)}.eqz` as OpName);
		t.bailIf(REASON.divide);
		if (i.size === 64) divideWide(t, divisor, signed);
		else divideNarrow(t, i.size, divisor, signed);
	};
}

export const ARITHMETIC: SemanticTable = {
	add: sum("add", false, true),
	adc: sum("add", true, true),
	sub: sum("sub", false, true),
	sbb: sum("sub", true, true),
	cmp: sum("sub", false, false),
	and: logic("and", true),
	or: logic("or", true),
	xor: logic("xor", true),
	test: logic("and", false),
	inc: step("add"),
	dec: step("sub"),
	not,
	neg,
	mul: multiply(false),
	imul1: multiply(true),
	imul,
	div: divide(false),
	idiv: divide(true),
};
