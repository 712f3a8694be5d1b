import { Code, type ModuleFunction } from "../wasm/index.js";

/** The function that computes the upper 64 bits of an unsigned 64 by 64 bit product, from products of 32-bit halves. */
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
