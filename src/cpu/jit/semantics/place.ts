import { BACKING, PTE_SHADOWED } from "../../../memory/index.js";
import { AREA, NEED, PTE_CODE } from "../area.js";
import { Code, type ModuleFunction } from "../wasm/index.js";
import { pageEntry } from "./look-up.js";

/** Larger accesses are left to the host: so many bits of a shadow lie in one word, wherever they begin. */
const MOST_BYTES = 16;

/**
 * `place(address, bytes, need)`, where an access is in the backing store that is not simply in a page: here if the page has a shadow that
 * allows it, else by the function of the host, number `host`, which finds the address in the area. 0: it faults.
 */
export function placeFunction(host: number): ModuleFunction {
	const code = new Code(3);
	const [address, bytes, need] = [0, 1, 2];
	const [low, entry, wanted] = [code.local("i32"), code.local("i32"), code.local("i32")];
	code.get(address).i64(31n).op("i64.shr_s").i64(-1n).op("i64.eq");
	code.if();
	code.get(address).op("i32.wrap_i64").set(low);
	code.get(need).i32(NEED.rw).op("i32.and").i32(PTE_SHADOWED).op("i32.or").set(wanted);
	code.get(address);
	pageEntry(code);
	code.tee(entry);
	// Stores into pages with code are the host's.
	code
		.get(need)
		.i32(NEED.w)
		.op("i32.and")
		.i32(Math.log2(PTE_CODE / NEED.w))
		.op("i32.shl")
		.get(wanted)
		.op("i32.or");
	code.op("i32.and").get(wanted).op("i32.eq");
	code.get(bytes).i32(MOST_BYTES).op("i32.le_u").op("i32.and");
	code.get(low).i32(0xfff).op("i32.and").get(bytes).op("i32.add").i32(0x1000).op("i32.le_u").op("i32.and");
	code.if();
	allowed(code, low, bytes);
	code.i32(0).memory("i32.load", BACKING.watch).op("i32.eqz").op("i32.or");
	code.if();
	code.get(entry).i32(-4096).op("i32.and").get(low).i32(0xfff).op("i32.and").op("i32.or").op("return");
	code.end();
	code.end();
	code.end();
	code.i32(0).get(address).memory("i64.store", AREA.slowAddress);
	code.get(bytes).get(need).call(host);
	return { signature: { params: ["i64", "i32", "i32"], results: ["i32"] }, code, exportAs: "place" };
}

/** Pushes 1 if the shadow allows all bytes. */
function allowed(code: Code, low: number, bytes: number): void {
	const mask = code.local("i32");
	code.i32(-1).get(bytes).op("i32.shl").i32(-1).op("i32.xor").set(mask);
	code.get(low).i32(3).op("i32.shr_u").i32(0).memory("i32.load", BACKING.shadow).op("i32.add").memory("i32.load");
	code.get(low).i32(7).op("i32.and").op("i32.shr_u");
	code.get(mask).op("i32.and").get(mask).op("i32.eq");
}
