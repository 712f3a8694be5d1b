import {
	type Assembled,
	assemble,
	decodeCode,
	type EngineImage,
	type EnginePart,
	encodeCode,
	type Keystone,
} from "../assemble/index.js";
import { KlpemuError } from "../base/index.js";
import { type GatePage, gateAddress } from "../cpu/index.js";
import type { TrampolineTemplates } from "../linux/ftrace/index.js";
import type { CoreImage } from "../linux/klp-c/index.js";
import type { Icache } from "../linux/lib/index.js";
import { type Kaddr, type Memory, PAGE_SIZE, PERM } from "../memory/index.js";
import { ENGINE_GATES, LAYOUT } from "./layout.js";

/** The sources of the engine's own assembly, and the addresses they are assembled for. */
export const ENGINE_SOURCES: Readonly<Record<EnginePart, { readonly fileName: string; readonly base: Kaddr }>> = {
	entry: { fileName: "asm/entry_64.S", base: LAYOUT.entry },
	ftrace: { fileName: "asm/ftrace_64.S", base: LAYOUT.ftrace },
	ops: { fileName: "asm/ftrace_ops.S", base: LAYOUT.ftraceOps },
};

/** Symbols to which those sources may refer. */
const EXTERNALS: Readonly<Record<string, Kaddr>> = {
	...Object.fromEntries(ENGINE_GATES.map((name, index) => [name, gateAddress(LAYOUT.gates, index)])),
	function_trace_op: LAYOUT.data,
};

export type AssembledEngine = Readonly<Record<EnginePart, Assembled>>;

/** A source, and the hash of its bytes. */
export interface EngineSource {
	readonly text: string;
	readonly hash: string;
}

/** Assembles the engine's sources for the machine's layout. Throws what {@link assemble} throws. */
export function assembleEngine(keystone: Keystone, sources: Readonly<Record<EnginePart, EngineSource>>): EngineImage {
	const code = (part: EnginePart) => {
		const { fileName, base } = ENGINE_SOURCES[part];
		const { text, hash } = sources[part];
		return encodeCode(assemble(keystone, text, fileName, base, EXTERNALS), hash);
	};
	return { entry: code("entry"), ftrace: code("ftrace"), ops: code("ops"), externals: EXTERNALS };
}

/** True if an image was assembled for the layout of this version. */
export function fitsLayout(image: EngineImage): boolean {
	const names = Object.keys(EXTERNALS);
	return (
		(["entry", "ftrace", "ops"] as const).every((part) => image[part].base === ENGINE_SOURCES[part].base) &&
		names.length === Object.keys(image.externals).length &&
		names.every((name) => image.externals[name] === EXTERNALS[name])
	);
}

/** The code of an image. Throws `ENGINE_IMAGE_STALE` if it was assembled for another layout. */
export function decodeEngine(image: EngineImage): AssembledEngine {
	if (!fitsLayout(image)) {
		throw new KlpemuError("ENGINE_IMAGE_STALE", "the engine image was assembled for another version of klpemu", {
			hint: "npm run build:objects makes asm/prebuilt/assembly.json again",
		});
	}
	return { entry: decodeCode(image.entry), ftrace: decodeCode(image.ftrace), ops: decodeCode(image.ops) };
}

/** The address of a label. Throws `ASM_LABEL_MISSING`. */
export function label(code: Assembled, name: string): Kaddr {
	const address = code.symbols.get(name);
	if (address === undefined) throw new KlpemuError("ASM_LABEL_MISSING", `the assembly has no label '${name}'`);
	return address;
}

/** The addresses of assembly that ftrace uses, of a compiled core's own ftrace_64.S if there is one, else of the engine's: `ftrace` is asm/ftrace_64.S, `ops` asm/ftrace_ops.S. */
export function trampolineTemplates(
	ftrace: Assembled,
	ops: Assembled,
	gates: GatePage,
	core?: CoreImage,
): TrampolineTemplates {
	const at = (name: string) => core?.address(name) ?? label(ftrace, name);
	return {
		ftrace_stub: at("ftrace_stub"),
		ftrace_caller: at("ftrace_caller"),
		ftrace_caller_op_ptr: at("ftrace_caller_op_ptr"),
		ftrace_call: at("ftrace_call"),
		ftrace_caller_end: at("ftrace_caller_end"),
		ftrace_regs_caller: at("ftrace_regs_caller"),
		ftrace_regs_caller_op_ptr: at("ftrace_regs_caller_op_ptr"),
		ftrace_regs_call: at("ftrace_regs_call"),
		ftrace_regs_caller_jmp: at("ftrace_regs_caller_jmp"),
		ftrace_regs_caller_end: at("ftrace_regs_caller_end"),
		return_to_handler: label(ftrace, "return_to_handler"),
		arch_rethook_trampoline: label(ftrace, "arch_rethook_trampoline"),
		function_trace_op: core?.address("function_trace_op") ?? LAYOUT.data,
		ftrace_ops_list_func: label(ops, "ftrace_ops_list_func"),
		ftrace_ops_assist_func: label(ops, "ftrace_ops_assist_func"),
		call_direct_funcs: gates.address("call_direct_funcs"),
	};
}

/** Puts the engine's code into guest memory. */
export function loadEngine(engine: AssembledEngine, memory: Memory, icache: Icache): void {
	for (const code of [engine.entry, engine.ftrace, engine.ops]) {
		const length = Math.ceil(code.bytes.length / PAGE_SIZE) * PAGE_SIZE;
		memory.map("entry text", code.base, length, PERM.READ | PERM.EXEC);
		memory.write(code.base, code.bytes);
		icache.flush_icache_range(code.base, code.bytes.length);
	}
}
