import { AREA } from "../area.js";
import { Code, type ModuleFunction, type Signature } from "../wasm/index.js";
import { CF_FIXED, OF_FIXED, RESULT_FOLLOWS } from "./translator.js";

/** Type of `flagsOf(kind, a, b, result)`. */
const FLAGS_OF: Signature = { params: ["i32", "i64", "i64", "i64"], results: ["i32"] };
const STATUS_BUT_CF_OF = 0xd4;

/**
 * The status flags from their lazy form: kind word, a, b and result (SDM volume 1, 3.4.3.1). For sums and differences the
 * carries out of all bits at once say CF (top), OF (top two differ) and AF (bit 3).
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

/** The flags of the lazy form in the area; `flagsOf`: index of {@link flagsOfFunction}. */
export function flagsFunction(flagsOf: number, exportAs?: string): ModuleFunction {
	const code = new Code(0);
	code.i32(0).memory("i32.load", AREA.flagKind);
	for (const offset of [AREA.flagA, AREA.flagB, AREA.flagR]) code.i32(0).memory("i64.load", offset);
	code.call(flagsOf);
	return { signature: { params: [], results: ["i32"] }, code, ...(exportAs === undefined ? {} : { exportAs }) };
}

/** The upper 64 bits of an unsigned 64 by 64 bit product, by halves. */
export function umulhFunction(): ModuleFunction {
	const code = new Code(2);
	const [t, low] = [code.local("i64"), code.local("i64")];
	const lower = (x: number): Code => code.get(x).i64(0xffffffffn).op("i64.and");
	const upper = (x: number): Code => code.get(x).i64(32n).op("i64.shr_u");
	lower(0);
	lower(1).op("i64.mul").i64(32n).op("i64.shr_u");
	upper(0);
	lower(1).op("i64.mul").op("i64.add").set(t);
	lower(0);
	upper(1).op("i64.mul");
	lower(t).op("i64.add").set(low);
	upper(0);
	upper(1).op("i64.mul");
	upper(t).op("i64.add");
	upper(low).op("i64.add");
	return { signature: { params: ["i64", "i64"], results: ["i64"] }, code };
}
