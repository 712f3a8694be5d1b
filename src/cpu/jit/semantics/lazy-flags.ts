import { AREA } from "../area.js";
import { Code, type ModuleFunction, type Signature } from "../wasm/index.js";

/**
 * Lazy status flags: a kind word and three 64-bit words a, b and r (the result) from which the flags follow. The kind
 * word has a kind of {@link FLAG_KIND} in bits 0 and 1, 64 minus the operand size in bits 4 to 9, and the bits below.
 * `eager`: r holds the flags themselves. `add`, `sub`: r = a + b or a - b. `result`: CF is bit 0 of a, OF is bit 0 of b,
 * and the other flags follow from r.
 */
export const FLAG_KIND = { eager: 0, add: 1, sub: 2, result: 3 } as const;
/** CF does not follow from the words, but is bit {@link CF_VALUE} of the kind word. */
export const CF_FIXED = 0x1000;
export const CF_VALUE = 0x2000;
/** The same for OF. */
export const OF_FIXED = 0x4000;
export const OF_VALUE = 0x8000;
/** The word r is not set: the result is the sum or the difference of a and b. */
export const RESULT_FOLLOWS = 0x10000;

/** Type of `flagsOf(kind, a, b, r)`. */
const FLAGS_OF: Signature = { params: ["i32", "i64", "i64", "i64"], results: ["i32"] };
const STATUS_BUT_CF_OF = 0xd4;

/**
 * The function that computes the status flags, as rflags has them, from the lazy form (SDM volume 1, 3.4.3.1). For sums and
 * differences it computes the carry out of every bit: the top one is CF, the top two differ if OF is set, and bit 3 is AF.
 */
export function flagsOfFunction(): ModuleFunction {
	const code = new Code(FLAGS_OF.params.length);
	const [kind, a, b, r] = [0, 1, 2, 3];
	const [v, shift] = [code.local("i64"), code.local("i64")];
	const [cf, of, rest] = [code.local("i32"), code.local("i32"), code.local("i32")];
	code.get(kind).i32(RESULT_FOLLOWS).op("i32.and");
	code.if();
	code.get(a).get(b).op("i64.add").get(a).get(b).op("i64.sub").get(kind).i32(1).op("i32.and").op("select").set(r);
	code.end();
	code.get(kind).i32(3).op("i32.and").op("i32.eqz");
	code.if();
	code.get(r).op("i32.wrap_i64").tee(rest).i32(1).op("i32.and").set(cf);
	code.get(rest).i32(11).op("i32.shr_u").i32(1).op("i32.and").set(of);
	code.get(rest).i32(STATUS_BUT_CF_OF).op("i32.and").set(rest);
	code.else();
	code.get(kind).i32(4).op("i32.shr_u").i32(63).op("i32.and").op("i64.extend_i32_u").set(shift);
	code.get(kind).i32(3).op("i32.and").i32(3).op("i32.eq");
	code.if();
	code.get(a).op("i32.wrap_i64").set(cf);
	code.get(b).op("i32.wrap_i64").set(of);
	code.else();
	code.get(kind).i32(1).op("i32.and");
	code.if("i64");
	code.get(a).get(b).op("i64.and").get(a).get(b).op("i64.or").get(r).i64(-1n).op("i64.xor").op("i64.and").op("i64.or");
	code.else();
	code.get(a).i64(-1n).op("i64.xor").tee(v).get(b).op("i64.and");
	code.get(v).get(b).op("i64.or").get(r).op("i64.and").op("i64.or");
	code.end();
	code.tee(v).get(shift).op("i64.shl").i64(63n).op("i64.shr_u").op("i32.wrap_i64").tee(cf);
	code.get(v).get(shift).op("i64.shl").i64(62n).op("i64.shr_u").op("i32.wrap_i64").i32(1).op("i32.and").op("i32.xor");
	code.set(of);
	code.end();
	code.get(v).op("i32.wrap_i64").i32(8).op("i32.and").i32(1).op("i32.shl");
	code.get(r).get(shift).op("i64.shl").op("i64.eqz").i32(6).op("i32.shl").op("i32.or");
	code.get(r).get(shift).op("i64.shl").i64(63n).op("i64.shr_u").op("i32.wrap_i64").i32(7).op("i32.shl").op("i32.or");
	code.get(r).op("i32.wrap_i64").i32(0xff).op("i32.and").op("i32.popcnt").i32(1).op("i32.and").i32(1).op("i32.xor");
	code.i32(2).op("i32.shl").op("i32.or").set(rest);
	code.end();
	for (const [flag, fixed, bit] of [
		[cf, CF_FIXED, 13],
		[of, OF_FIXED, 15],
	] as const) {
		code.get(kind).i32(fixed).op("i32.and");
		code.if();
		code.get(kind).i32(bit).op("i32.shr_u").i32(1).op("i32.and").set(flag);
		code.end();
	}
	code.get(rest).get(cf).op("i32.or").get(of).i32(11).op("i32.shl").op("i32.or");
	return { signature: FLAGS_OF, code };
}

/** The function that computes the flags from the lazy form in the area; `flagsOf`: index of {@link flagsOfFunction}. */
export function flagsFunction(flagsOf: number, exportAs?: string): ModuleFunction {
	const code = new Code(0);
	code.i32(0).memory("i32.load", AREA.flagKind);
	for (const offset of [AREA.flagA, AREA.flagB, AREA.flagR]) code.i32(0).memory("i64.load", offset);
	code.call(flagsOf);
	return { signature: { params: [], results: ["i32"] }, code, ...(exportAs === undefined ? {} : { exportAs }) };
}
