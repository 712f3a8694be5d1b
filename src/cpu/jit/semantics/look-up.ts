import { BACKING } from "../../../memory/index.js";
import { AREA, JUMP_SLOTS } from "../area.js";
import type { Code } from "../wasm/index.js";

/**
 * Leaves the function for the translation of the address in the i64 local, if there is one. `fuel`: a local; `type`: of
 * `run`.
 */
export function jumpTo(code: Code, target: number, fuel: number, type: number): void {
	const low = code.temp("i32");
	const slot = code.temp("i32");
	code.get(target).op("i32.wrap_i64").tee(low).get(low).i32(13).op("i32.shr_u").op("i32.xor");
	code
		.i32(JUMP_SLOTS - 1)
		.op("i32.and")
		.i32(4)
		.op("i32.shl")
		.tee(slot);
	code.memory("i32.load", AREA.jumps).get(low).op("i32.eq");
	code.get(low).op("i64.extend_i32_s").get(target).op("i64.eq").op("i32.and");
	code.if();
	code
		.get(slot)
		.memory("i32.load", AREA.jumps + 4)
		.get(fuel);
	code
		.get(slot)
		.memory("i32.load", AREA.jumps + 8)
		.tailCallIndirect(type);
	code.end();
}

/** Replaces an address (i64) in the kernel's window, which is on the stack, by its page table entry. */
export function pageEntry(code: Code): void {
	code.op("i32.wrap_i64").i32(10).op("i32.shr_u").i32(0x1ffffc).op("i32.and").memory("i32.load", BACKING.pageTable);
}
