import { RCX } from "../../cpu.js";
import type { OpName } from "../wasm/index.js";
import { moveRsp, pushValue, topOfStack } from "./stack.js";
import { type Emit, type SemanticTable, type Translator, typeOf } from "./translator.js";

const jcc: Emit = (t, i) => {
	t.condition(i.row.condition!);
	t.ifTaken(i);
	t.branch(i);
	t.code.end();
};

/** loop, loope, loopne: rcx (ecx with an address-size prefix) goes down without touching the flags. */
function loop(zero?: boolean): Emit {
	return (t, i) => {
		const { code } = t;
		const size = i.address32 ? 32 : 64;
		const type = typeOf(size);
		t.getRegister(RCX, size)
			.constant(type, 1n)
			.op(`${type}.sub` as OpName);
		const left = t.keep(type);
		t.setRegister(RCX, size, left);
		code
			.get(left)
			.op(`${type}.eqz` as OpName)
			.op("i32.eqz");
		if (zero !== undefined) {
			const going = t.keep("i32");
			t.condition(zero ? 4 : 5);
			code.get(going).op("i32.and");
		}
		t.ifTaken(i);
		t.branch(i);
		code.end();
	};
}

const jrcxz: Emit = (t, i) => {
	const size = i.address32 ? 32 : 64;
	t.getRegister(RCX, size).op(`${typeOf(size)}.eqz` as OpName);
	t.ifTaken(i);
	t.branch(i);
	t.code.end();
};

/** Pushes the return address. */
export function emitCall(t: Translator): void {
	pushValue(t, 64, t.returnAddress());
}

export const FLOW: SemanticTable = {
	jcc,
	jmp: (t, i) => t.branch(i),
	jmp_indirect: (t, i) => {
		const address = t.value(i.operands[0]!);
		t.requireCanonical(address);
		t.gotoDynamic(address);
	},
	call: (t, i) => {
		emitCall(t);
		t.branch(i);
	},
	call_indirect: (t, i) => {
		const address = t.value(i.operands[0]!);
		t.requireCanonical(address);
		emitCall(t);
		t.gotoDynamic(address);
	},
	ret: (t, i) => {
		const address = topOfStack(t, 64);
		t.requireCanonical(address);
		const extra = i.operands[0];
		moveRsp(t, 8, extra === undefined ? undefined : t.value(extra));
		t.gotoDynamic(address);
	},
	loop: loop(),
	loope: loop(true),
	loopne: loop(false),
	jrcxz,
};
