import { KlpemuError } from "../errors.js";
import type { Kaddr } from "../memory/index.js";
import type { HintTable } from "./hints.js";

/** Machine code for one base address. */
export interface Assembled {
	readonly base: Kaddr;
	readonly bytes: Uint8Array;
	/** Labels, in the order of the source. */
	readonly symbols: ReadonlyMap<string, Kaddr>;
	/** Unwind rows by offset from `base`: `hints.row(ip - base)`. */
	readonly hints: HintTable;
}

/** Assembles AT&T source with Keystone. Throws `ASM_ERROR` with file and line. */
export async function assemble(
	_source: string,
	fileName: string,
	_base: Kaddr,
	_externals: Readonly<Record<string, Kaddr>>,
): Promise<Assembled> {
	throw new KlpemuError("ASM_ERROR", "being written", { where: fileName });
}
