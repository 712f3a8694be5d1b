import { FLAG, RAX, RBX, RCX, RDX } from "../../cpu.js";
import { CPUID } from "../../cpuid.js";
import type { Instruction } from "../../x86/index.js";
import { AREA, REASON } from "../area.js";
import type { Emit, SemanticTable, Translator } from "./translator.js";

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

/** TSC_AUX, which the kernel sets to the number of the CPU and its node, is 0. */
const rdtscp: Emit = (t, i) => {
	rdtsc(t, i);
	t.setRegister(RCX, 32, t.constant(32, 0n));
};

/** No protection key protects anything: PKRU is 0. SDM volume 2, RDPKRU. */
const rdpkru: Emit = (t) => {
	t.getRegister(RCX, 32);
	t.bailIf(REASON.general);
	for (const register of [RAX, RDX]) t.setRegister(register, 32, t.constant(32, 0n));
};

const nothing: Emit = (_t: Translator, _i: Instruction) => {};

export const PROCESSOR: SemanticTable = {
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
	stac: control(FLAG.AC, true),
	clac: control(FLAG.AC, false),
	rdtsc,
	rdtscp,
	rdpkru,
	nop: nothing,
};
