import { RAX, RCX, RDI, RSI } from "../../cpu.js";
import type { Instruction } from "../../x86/index.js";
import { AREA } from "../area.js";
import type { OpName } from "../wasm/index.js";
import { FLAG_KIND } from "./lazy-flags.js";
import { type Emit, type SemanticTable, type Translator, typeOf } from "./translator.js";

/** [rsi] (with the segment of the prefix) or [rdi] (never). */
function pointer(t: Translator, i: Instruction, reg: number): number {
	return t.address({
		kind: "mem",
		base: reg,
		index: -1,
		scale: 1,
		disp: 0n,
		ripRelative: false,
		gs: i.gs && reg === RSI,
		address32: i.address32,
		size: i.size,
	});
}

function advance(t: Translator, i: Instruction, reg: number, by: number): void {
	const size = i.address32 ? 32 : 64;
	t.getRegister(reg, 64).get(by).op("i64.add");
	if (size === 32) t.code.op("i32.wrap_i64");
	t.setRegister(reg, size, t.keep(typeOf(size)));
}

/** Signed distance to the next element; DF gives the direction. */
function stride(t: Translator, i: Instruction): number {
	const bytes = BigInt(i.size / 8);
	t.code.i64(-bytes).i64(bytes).i32(0).memory("i32.load", AREA.rflags).i32(0x400).op("i32.and").op("select");
	return t.keep("i64");
}

/** Locals with the two compared values, and their difference, from which the flags follow. */
interface Compared {
	readonly a: number;
	readonly b: number;
	readonly r: number;
}

/** Emits the work for one element, without the flags. */
type Element = (t: Translator, i: Instruction, by: number) => Compared | undefined;

const movs: Element = (t, i, by) => {
	const value = t.load(t.placeAt(pointer(t, i, RSI), i.size, "r"));
	t.store(t.placeAt(pointer(t, i, RDI), i.size, "w"), value);
	advance(t, i, RSI, by);
	advance(t, i, RDI, by);
	return undefined;
};

const stos: Element = (t, i, by) => {
	const place = t.placeAt(pointer(t, i, RDI), i.size, "w");
	t.getRegister(RAX, i.size);
	t.store(place, t.keep(typeOf(i.size)));
	advance(t, i, RDI, by);
	return undefined;
};

const lods: Element = (t, i, by) => {
	const value = t.load(t.placeAt(pointer(t, i, RSI), i.size, "r"));
	t.setRegister(RAX, i.size, value);
	advance(t, i, RSI, by);
	return undefined;
};

function compare(t: Translator, i: Instruction, a: number, b: number): Compared {
	return { a, b, r: t.binary("sub", i.size, a, b) };
}

const cmps: Element = (t, i, by) => {
	const a = t.load(t.placeAt(pointer(t, i, RSI), i.size, "r"));
	const b = t.load(t.placeAt(pointer(t, i, RDI), i.size, "r"));
	advance(t, i, RSI, by);
	advance(t, i, RDI, by);
	return compare(t, i, a, b);
};

const scas: Element = (t, i, by) => {
	const b = t.load(t.placeAt(pointer(t, i, RDI), i.size, "r"));
	t.getRegister(RAX, i.size);
	const a = t.keep(typeOf(i.size));
	advance(t, i, RDI, by);
	return compare(t, i, a, b);
};

/**
 * A repeated string instruction counts once for each element, and once for the end if rcx is what ends it: a run can stop
 * between two elements, as an interrupt can. The registers move with every element, so a fault in the middle leaves them at
 * the element that faulted. The flags are those of the last comparison, and those of before the instruction if it faults
 * (SDM volume 2, REP) or is not at its end.
 */
function repeated(element: Element): Emit {
	return (t, i) => {
		const { code } = t;
		const by = stride(t, i);
		const setFlags = ({ a, b, r }: Compared): void => t.setFlags(FLAG_KIND.sub, i.size, a, b, r);
		if (i.repeat === "none") {
			const compared = element(t, i, by);
			if (compared !== undefined) setFlags(compared);
			return;
		}
		const any = t.constant(32, 0n);
		const size = i.address32 ? 32 : 64;
		const type = typeOf(size);
		const done = code.block();
		const again = code.loop();
		t.getRegister(RCX, size)
			.op(`${type}.eqz` as OpName)
			.brIf(done);
		const compared = element(t, i, by);
		t.getRegister(RCX, size)
			.constant(type, 1n)
			.op(`${type}.sub` as OpName);
		t.setRegister(RCX, size, t.keep(type));
		if (compared !== undefined) {
			code.i32(1).set(any);
			code.get(compared.r).op(`${typeOf(i.size)}.eqz` as OpName);
			if (i.repeat === "rep") code.op("i32.eqz");
			code.brIf(done);
		}
		t.payTurn(() => {
			if (compared === undefined) return;
			// Only the end is left: no access can fault any more.
			t.getRegister(RCX, size).op(`${type}.eqz` as OpName);
			code.if();
			setFlags(compared);
			code.end();
		});
		code.br(again);
		code.end();
		code.end();
		if (compared === undefined) return;
		code.get(any);
		code.if();
		setFlags(compared);
		code.end();
	};
}

export const STRINGS: SemanticTable = {
	movs: repeated(movs),
	stos: repeated(stos),
	lods: repeated(lods),
	cmps: repeated(cmps),
	scas: repeated(scas),
};
