import { RAX, RBX, RCX, RDX } from "../../cpu.js";
import type { MemoryOperand } from "../../x86/index.js";
import { REASON } from "../area.js";
import type { OpName } from "../wasm/index.js";
import { FLAG_KIND } from "./lazy-flags.js";
import { type Emit, type SemanticTable, type Translator, typeOf } from "./translator.js";

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

/** If the comparison fails, the hardware writes the old value back to memory, and does not change a register. */
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

/** cmpxchg8b, and with REX.W cmpxchg16b, which needs 16-byte alignment. */
const cmpxchg8b: Emit = (t, i) => {
	const { code } = t;
	const { size } = i;
	const type = typeOf(size);
	const operand = i.operands[0] as MemoryOperand;
	const address = t.address(operand);
	if (size === 64) {
		code.get(address).i64(15n).op("i64.and").op("i64.eqz").op("i32.eqz");
		t.bailIf(REASON.general);
	}
	const place = t.placeAt(address, 2 * size, "rw", operand);
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
	convert,
	spread,
	xlat,
	setcc,
	cmov,
};
