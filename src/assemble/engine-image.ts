import { bytesToHex, hexToBytes } from "../base/index.js";
import type { Kaddr } from "../memory/index.js";
import type { Assembled } from "./assemble.js";
import { HintTable, type UnwindHint } from "./hints.js";

/** One source of the engine's own assembly as machine code for a fixed address. Plain data, as JSON carries it. */
export interface EngineCode {
	/** `hashOfBytes()` of the source. A host that has the source can check that the code is assembled from it. */
	readonly source: string;
	readonly base: Kaddr;
	/** Hexadecimal. */
	readonly bytes: string;
	/** Labels, in the order of the source. */
	readonly symbols: readonly (readonly [string, Kaddr])[];
	readonly hints: readonly UnwindHint[];
}

/** The engine's own assembly, which a host passes to the machine: asm/prebuilt/assembly.json. */
export interface EngineImage {
	/** Of asm/entry_64.S: the entry code of tasks. */
	readonly entry: EngineCode;
	/** Of asm/ftrace_64.S: the trampolines. */
	readonly ftrace: EngineCode;
	/** Of asm/ftrace_ops.S: the call-backs that stand for several ops. */
	readonly ops: EngineCode;
	/** The symbols outside of these sources that the code may refer to: gates and variables. */
	readonly externals: Readonly<Record<string, Kaddr>>;
}

export type EnginePart = "entry" | "ftrace" | "ops";

/** `hash`: of the source that was assembled. */
export function encodeCode(code: Assembled, hash: string): EngineCode {
	return {
		source: hash,
		base: code.base,
		bytes: bytesToHex(code.bytes),
		symbols: [...code.symbols],
		hints: code.hints.hints,
	};
}

export function decodeCode({ base, bytes, symbols, hints }: EngineCode): Assembled {
	return { base, bytes: hexToBytes(bytes), symbols: new Map(symbols), hints: new HintTable(hints) };
}
