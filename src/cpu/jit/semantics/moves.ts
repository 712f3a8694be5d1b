import type { Instruction, MemoryOperand } from "../../x86/index.js";
import { AREA, REASON } from "../area.js";
import type { OpName } from "../wasm/index.js";
import { FLAG_KIND } from "./lazy-flags.js";
import { type Emit, type SemanticTable, type Translator, typeOf } from "./translator.js";

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RSP = 4;
const RBP = 5;

/** The flags of rflags that popf can change besides the status flags: IF and DF. Other flags are not emulated. */
const CONTROL = 0x600;
const STATUS = 0x8d5;

const mov: Emit = (t, i) => {
	const value = t.value(i.operands[1]!);
	t.store(t.place(i.operands[0]!, "w"), value);
};

function extend(signed: boolean): Emit {
	return (t, i) => {
		const source = i.operands[1]!;
		if (source.kind !== "reg" && source.kind !== "mem") throw new Error("movzx operand");
		const value = t.value(source);
		t.code.get(value);
		if (source.size === 64 || i.size < 32) {
			if (signed) t.signed(source.size);
			t.mask(i.size);
		} else {
			if (signed) t.signed(source.size);
			if (i.size === 64) t.code.op(signed ? "i64.extend_i32_s" : "i64.extend_i32_u");
		}
		t.store(t.place(i.operands[0]!, "w"), t.keep(typeOf(i.size)));
	};
}

const lea: Emit = (t, i) => {
	const operand = i.operands[1] as MemoryOperand;
	let address = t.address({ ...operand, gs: false });
	if (i.size !== 64) {
		t.code.get(address).op("i32.wrap_i64");
		t.mask(i.size);
		address = t.keep("i32");
	}
	t.store(t.place(i.operands[0]!, "w"), address);
};

const xchg: Emit = (t, i) => {
	const first = t.place(i.operands[0]!, "rw");
	const second = t.place(i.operands[1]!, "rw");
	const a = t.load(first);
	const b = t.load(second);
	t.store(first, b);
	t.store(second, a);
};

const xadd: Emit = (t, i) => {
	const first = t.place(i.operands[0]!, "rw");
	const second = t.place(i.operands[1]!, "rw");
	const a = t.load(first);
	const b = t.load(second);
	const r = t.binary("add", i.size, a, b);
	t.store(second, a);
	t.store(first, r);
	t.setFlags(FLAG_KIND.add, i.size, a, b, r);
};

/** On failure the hardware writes the old value back to memory, and leaves a register alone. */
const cmpxchg: Emit = (t, i) => {
	const { code } = t;
	const { size } = i;
	const type = typeOf(size);
	const place = t.place(i.operands[0]!, "rw");
	const old = t.load(place);
	const source = t.value(i.operands[1]!);
	t.getRegister(RAX, size);
	const expected = t.keep(type);
	const r = t.binary("sub", size, expected, old);
	code.get(r).op(`${type}.eqz` as OpName);
	code.if();
	t.store(place, source);
	code.else();
	if (place.kind === "mem") t.store(place, old);
	t.setRegister(RAX, size, old);
	code.end();
	t.setFlags(FLAG_KIND.sub, size, expected, old, r);
};

/** cmpxchg8b, and with REX.W cmpxchg16b, which wants 16-byte alignment. */
const cmpxchg8b: Emit = (t, i) => {
	const { code } = t;
	const { size } = i;
	const type = typeOf(size);
	const operand = i.operands[0] as MemoryOperand;
	const address = t.address(operand);
	if (size === 64) {
		code.get(address).i64(15n).op("i64.and").op("i64.eqz").op("i32.eqz");
		t.bailIf(REASON.nonCanonical);
	}
	const place = t.placeAt(address, 2 * size, "rw");
	if (place.kind !== "mem") throw new Error("cmpxchg8b operand");
	const [load, store] = size === 64 ? (["i64.load", "i64.store"] as const) : (["i32.load", "i32.store"] as const);
	const half = place.offset + size / 8;
	code.get(place.host).memory(load, place.offset);
	const low = t.keep(type);
	code.get(place.host).memory(load, half);
	const high = t.keep(type);
	t.getRegister(RAX, size)
		.get(low)
		.op(`${type}.eq` as OpName);
	t.getRegister(RDX, size)
		.get(high)
		.op(`${type}.eq` as OpName)
		.op("i32.and");
	const equal = t.keep("i32");
	const flags = t.flags();
	code.get(equal);
	code.if();
	code.get(place.host);
	t.getRegister(RBX, size).memory(store, place.offset);
	code.get(place.host);
	t.getRegister(RCX, size).memory(store, half);
	code.else();
	t.setRegister(RAX, size, low);
	t.setRegister(RDX, size, high);
	code.end();
	t.finishStore(place);
	code.get(flags).i32(~0x40).op("i32.and").get(equal).i32(6).op("i32.shl").op("i32.or");
	t.setEagerFlags(t.keep("i32"));
};

/** Reverses the bytes of a value local. */
function reversed(t: Translator, size: number, value: number): number {
	const { code } = t;
	const type = typeOf(size);
	const swap = (mask: bigint, distance: bigint): void => {
		const x = t.keep(type);
		const op = (name: string): OpName => `${type}.${name}` as OpName;
		code.get(x).constant(type, mask).op(op("and")).constant(type, distance).op(op("shl"));
		code.get(x).constant(type, distance).op(op("shr_u")).constant(type, mask).op(op("and")).op(op("or"));
	};
	code.get(value);
	swap(0x00ff00ff00ff00ffn, 8n);
	if (size >= 32) swap(0x0000ffff0000ffffn, 16n);
	if (size === 64) swap(0x00000000ffffffffn, 32n);
	return t.keep(type);
}

const bswap: Emit = (t, i) => {
	const place = t.place(i.operands[0]!, "rw");
	t.store(place, reversed(t, i.size, t.load(place)));
};

const movbe: Emit = (t, i) => {
	const value = reversed(t, i.size, t.value(i.operands[1]!));
	t.store(t.place(i.operands[0]!, "w"), value);
};

/** Makes room for `size` bits on the stack; rsp itself is set by {@link setRsp}. */
function pushPlace(t: Translator, size: number): { place: ReturnType<Translator["placeAt"]>; rsp: number } {
	const rsp = t.address(t.near(RSP, -size / 8));
	return { place: t.placeAt(rsp, size, "w"), rsp };
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

export function moveRsp(t: Translator, bytes: number): void {
	t.setRegister(RSP, 64, t.address(t.near(RSP, bytes)));
}

const push: Emit = (t, i) => pushValue(t, i.size, t.value(i.operands[0]!));

/** The address of a memory destination counts from rsp after the pop. */
const pop: Emit = (t, i) => {
	const value = topOfStack(t, i.size);
	const target = i.operands[0]!;
	if (target.kind === "mem") {
		const adjust = target.base === RSP ? t.constant(64, BigInt(i.size / 8)) : undefined;
		const place = t.placeAt(t.address(target, adjust), i.size, "w");
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

/** Replaces control flags (IF, DF) by those of the i32 local. */
function setControl(t: Translator, value: number): void {
	const { code } = t;
	code.i32(0).get(value).i32(CONTROL).op("i32.and");
	code.i32(0).memory("i32.load", AREA.rflags).i32(~CONTROL).op("i32.and").op("i32.or");
	code.memory("i32.store", AREA.rflags);
}

const popf: Emit = (t, i) => {
	const value = topOfStack(t, i.size);
	moveRsp(t, i.size / 8);
	t.code.get(value);
	if (i.size === 64) t.code.op("i32.wrap_i64");
	const flags = t.keep("i32");
	setControl(t, flags);
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

/** enter: the frame pointers of the enclosing levels are copied below the new one. SDM volume 2, ENTER. */
const enter: Emit = (t, i) => {
	const bytes = i.size / 8;
	const immediate = (n: number): bigint => {
		const operand = i.operands[n]!;
		if (operand.kind !== "imm") throw new Error("enter operand");
		return operand.value;
	};
	const level = Number(immediate(1) & 31n);
	const down = (n: bigint): number => {
		t.getRegister(RSP, 64).i64(n).op("i64.sub");
		return t.keep("i64");
	};
	t.getRegister(RBP, i.size);
	const old = t.keep(typeOf(i.size));
	t.store(t.placeAt(down(BigInt(bytes)), i.size, "w"), old);
	const frame = down(BigInt(bytes));
	for (let n = 1; n < level; n++) {
		t.getRegister(RBP, 64)
			.i64(BigInt(n * bytes))
			.op("i64.sub");
		const copied = t.load(t.placeAt(t.keep("i64"), i.size, "r"));
		t.store(t.placeAt(down(BigInt((n + 1) * bytes)), i.size, "w"), copied);
	}
	if (level > 0) {
		t.code.get(frame);
		if (i.size !== 64) t.code.op("i32.wrap_i64");
		t.mask(i.size);
		const link = t.keep(typeOf(i.size));
		t.store(t.placeAt(down(BigInt((level + 1) * bytes)), i.size, "w"), link);
	}
	const pushed = BigInt((level > 0 ? level + 1 : 1) * bytes);
	const rsp = down(pushed + immediate(0));
	// The hardware checks that the new top of the stack can be written.
	t.placeAt(rsp, i.size, "w");
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

/** cbw, cwde, cdqe. */
const convert: Emit = (t, i) => {
	const half = i.size / 2;
	t.getRegister(RAX, half);
	t.signed(half);
	if (i.size === 64) t.code.op("i64.extend_i32_s");
	t.mask(i.size);
	t.setRegister(RAX, i.size, t.keep(typeOf(i.size)));
};

/** cwd, cdq, cqo: the sign of rax in rdx. */
const spread: Emit = (t, i) => {
	t.getRegister(RAX, i.size);
	t.signed(i.size);
	t.code.constant(typeOf(i.size), BigInt(i.size === 64 ? 63 : 31)).op(`${typeOf(i.size)}.shr_s` as OpName);
	t.mask(i.size);
	t.setRegister(RDX, i.size, t.keep(typeOf(i.size)));
};

const xlat: Emit = (t, i) => {
	t.getRegister(RAX, 8).op("i64.extend_i32_u");
	const index = t.keep("i64");
	const address = t.address(
		{
			kind: "mem",
			base: RBX,
			index: -1,
			scale: 1,
			disp: 0n,
			ripRelative: false,
			gs: i.gs,
			address32: i.address32,
			size: 8,
		},
		index,
	);
	t.setRegister(RAX, 8, t.load(t.placeAt(address, 8, "r")));
};

const setcc: Emit = (t, i) => {
	const place = t.place(i.operands[0]!, "w");
	t.condition(i.row.condition!);
	t.store(place, t.keep("i32"));
};

/** The source is read, and may fault, whatever the condition; a 32-bit destination is zero-extended either way. */
const cmov: Emit = (t, i) => {
	const type = typeOf(i.size);
	const source = t.value(i.operands[1]!);
	const place = t.place(i.operands[0]!, "rw");
	const old = t.load(place);
	t.condition(i.row.condition!);
	const holds = t.keep("i32");
	t.code.get(source).get(old).get(holds).op("select");
	t.store(place, t.keep(type));
};

function setCarry(value: (t: Translator) => number): Emit {
	return (t) => t.fixCarry(value(t));
}

function control(bit: number, set: boolean): Emit {
	return (t) => {
		const { code } = t;
		code.i32(0).i32(0).memory("i32.load", AREA.rflags);
		if (set) code.i32(bit).op("i32.or");
		else code.i32(~bit).op("i32.and");
		code.memory("i32.store", AREA.rflags);
	};
}

/**
 * Leaves of cpuid: [leaf, eax, ebx, ecx, edx]. They announce only features that the opcode table has. Vendor: "klpemu-x86
 * ".
 */
const CPUID: readonly (readonly number[])[] = [
	[0, 1, 0x65706c6b, 0x20203638, 0x782d756d],
	// ecx: cmpxchg16b, sse4.2's crc32, movbe, popcnt; edx: tsc, cmpxchg8b, cmov.
	[1, 0x600, 0, (1 << 13) | (1 << 20) | (1 << 22) | (1 << 23), (1 << 4) | (1 << 8) | (1 << 15)],
	[0x80000000, 0x80000001, 0, 0, 0],
	// ecx: lahf, lzcnt; edx: long mode.
	[0x80000001, 0, 0, (1 << 0) | (1 << 5), 1 << 29],
];

/** The same on every host; leaves that do not exist are zero. */
const cpuid: Emit = (t) => {
	t.getRegister(RAX, 32);
	const leaf = t.keep("i32");
	for (const [column, reg] of [RAX, RBX, RCX, RDX].entries()) {
		t.code.i32(0);
		for (const row of CPUID) {
			const so_far = t.keep("i32");
			t.code
				.i32(row[column + 1]!)
				.get(so_far)
				.get(leaf)
				.i32(row[0]!)
				.op("i32.eq")
				.op("select");
		}
		t.setRegister(reg, 32, t.keep("i32"));
	}
};

/** The time stamp is the number of instructions executed before this one. */
const rdtsc: Emit = (t) => {
	const { code } = t;
	// The fuel already counts this instruction.
	code.i32(0).memory("i64.load", AREA.clock).get(t.fuel).op("i64.extend_i32_u").op("i64.sub").i64(1n).op("i64.sub");
	const now = t.keep("i64");
	code.get(now).op("i32.wrap_i64");
	t.setRegister(RAX, 32, t.keep("i32"));
	code.get(now).i64(32n).op("i64.shr_u").op("i32.wrap_i64");
	t.setRegister(RDX, 32, t.keep("i32"));
};

const nothing: Emit = (_t: Translator, _i: Instruction) => {};

export const MOVES: SemanticTable = {
	mov,
	movzx: extend(false),
	movsx: extend(true),
	lea,
	xchg,
	xadd,
	cmpxchg,
	cmpxchg8b,
	bswap,
	movbe,
	push,
	pop,
	pushf,
	popf,
	lahf,
	sahf,
	enter,
	leave,
	convert,
	spread,
	xlat,
	setcc,
	cmov,
	clc: setCarry((t) => t.constant(32, 0n)),
	stc: setCarry((t) => t.constant(32, 1n)),
	cmc: setCarry((t) => {
		t.code.get(t.carry()).i32(1).op("i32.xor");
		return t.keep("i32");
	}),
	cld: control(0x400, false),
	std: control(0x400, true),
	cli: control(0x200, false),
	sti: control(0x200, true),
	cpuid,
	rdtsc,
	nop: nothing,
};
