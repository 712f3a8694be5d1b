import { FLAG, RAX, RBP, RSP } from "../../cpu.js";
import type { Instruction } from "../../x86/index.js";
import { AREA, REASON } from "../area.js";
import { type Emit, type SemanticTable, type Translator, typeOf } from "./translator.js";

/** The flags of rflags that popf can change besides the status flags, in a kernel (SDM volume 2, POPF). */
const CONTROL = FLAG.IF | FLAG.DF | FLAG.IOPL | FLAG.NT | FLAG.AC | FLAG.ID;
const STATUS = 0x8d5;
const TRAP_FLAG = 0x100;

/** Makes room for `size` bits on the stack; rsp itself is set by the caller. */
function pushPlace(t: Translator, size: number): { place: ReturnType<Translator["placeAt"]>; rsp: number } {
	const top = t.near(RSP, -size / 8);
	const rsp = t.address(top);
	return { place: t.placeAt(rsp, size, "w", top), rsp };
}

/** Pushes a value local of `size` bits. */
export function pushValue(t: Translator, size: number, value: number): void {
	const { place, rsp } = pushPlace(t, size);
	t.store(place, value);
	t.setRegister(RSP, 64, rsp);
}

/** Reads the top of the stack without moving rsp. */
export function topOfStack(t: Translator, size: number): number {
	return t.load(t.place(t.near(RSP, 0, size), "r"));
}

/** `more`: an i64 local with further bytes. */
export function moveRsp(t: Translator, bytes: number, more?: number): void {
	t.setRegister(RSP, 64, t.address(t.near(RSP, bytes), more));
}

const push: Emit = (t, i) => pushValue(t, i.size, t.value(i.operands[0]!));

/** The address of a memory destination counts from rsp after the pop. */
const pop: Emit = (t, i) => {
	const value = topOfStack(t, i.size);
	const target = i.operands[0]!;
	if (target.kind === "mem") {
		const adjust = target.base === RSP ? t.constant(64, BigInt(i.size / 8)) : undefined;
		const place = t.placeAt(t.address(target, adjust), i.size, "w", target);
		t.store(place, value);
		moveRsp(t, i.size / 8);
		return;
	}
	moveRsp(t, i.size / 8);
	t.store(t.place(target, "w"), value);
};

const pushf: Emit = (t, i) => {
	t.code.get(t.flags()).i32(0).memory("i32.load", AREA.rflags).i32(~STATUS).op("i32.and").op("i32.or");
	if (i.size === 64) t.code.op("i64.extend_i32_u");
	t.mask(i.size);
	pushValue(t, i.size, t.keep(typeOf(i.size)));
};

/** Replaces control flags by those of the i32 local; popf of 16 bits has the lower half only. */
function setControl(t: Translator, size: number, value: number): void {
	const { code } = t;
	const control = size === 16 ? CONTROL & 0xffff : CONTROL;
	code.i32(0).get(value).i32(control).op("i32.and");
	code.i32(0).memory("i32.load", AREA.rflags).i32(~control).op("i32.and").op("i32.or");
	code.memory("i32.store", AREA.rflags);
}

const popf: Emit = (t, i) => {
	const value = topOfStack(t, i.size);
	t.code.get(value);
	if (i.size === 64) t.code.op("i32.wrap_i64");
	const flags = t.keep("i32");
	t.code.get(flags).i32(TRAP_FLAG).op("i32.and");
	t.bailIf(REASON.trapFlag);
	moveRsp(t, i.size / 8);
	setControl(t, i.size, flags);
	t.code.get(flags).i32(STATUS).op("i32.and");
	t.setEagerFlags(t.keep("i32"));
};

const lahf: Emit = (t) => {
	t.code.get(t.flags()).i32(2).op("i32.or");
	t.setRegister(RAX, 8, t.keep("i32"), true);
};

const sahf: Emit = (t) => {
	t.getRegister(RAX, 8, true).i32(0xd5).op("i32.and");
	t.code.get(t.flags()).i32(0x800).op("i32.and").op("i32.or");
	t.setEagerFlags(t.keep("i32"));
};

/** The number of frame pointers that enter pushes, its own included. */
export function enterLevel(i: Instruction): number {
	const operand = i.operands[1]!;
	if (operand.kind !== "imm") throw new Error("enter operand");
	return Number(operand.value & 31n);
}

/** enter: the frame pointers of the enclosing levels are copied below the new one. SDM volume 2, ENTER. */
const enter: Emit = (t, i) => {
	const bytes = i.size / 8;
	const level = enterLevel(i);
	const down = (n: bigint): number => {
		t.getRegister(RSP, 64).i64(n).op("i64.sub");
		return t.keep("i64");
	};
	t.getRegister(RBP, i.size);
	const old = t.keep(typeOf(i.size));
	const stack = t.near(RSP, 0);
	t.store(t.placeAt(down(BigInt(bytes)), i.size, "w", stack), old);
	const frame = down(BigInt(bytes));
	for (let n = 1; n < level; n++) {
		t.getRegister(RBP, 64)
			.i64(BigInt(n * bytes))
			.op("i64.sub");
		const copied = t.load(t.placeAt(t.keep("i64"), i.size, "r", stack));
		t.store(t.placeAt(down(BigInt((n + 1) * bytes)), i.size, "w", stack), copied);
	}
	if (level > 0) {
		t.code.get(frame);
		if (i.size !== 64) t.code.op("i32.wrap_i64");
		t.mask(i.size);
		const link = t.keep(typeOf(i.size));
		t.store(t.placeAt(down(BigInt((level + 1) * bytes)), i.size, "w", stack), link);
	}
	const pushed = BigInt((level > 0 ? level + 1 : 1) * bytes);
	t.getRegister(RSP, 64).i64(pushed).op("i64.sub");
	t.widened(i.size, t.value(i.operands[0]!)).op("i64.sub");
	const rsp = t.keep("i64");
	// The hardware checks that the new top of the stack can be written.
	t.placeAt(rsp, i.size, "w", stack);
	t.code.get(frame);
	if (i.size !== 64) t.code.op("i32.wrap_i64");
	t.mask(i.size);
	t.setRegister(RBP, i.size, t.keep(typeOf(i.size)));
	t.setRegister(RSP, 64, rsp);
};

const leave: Emit = (t, i) => {
	const value = t.load(t.place(t.near(RBP, 0, i.size), "r"));
	t.setRegister(RSP, 64, t.address(t.near(RBP, i.size / 8)));
	t.setRegister(RBP, i.size, value);
};

export const STACK: SemanticTable = {
	push,
	pop,
	pushf,
	popf,
	lahf,
	sahf,
	enter,
	leave,
};
