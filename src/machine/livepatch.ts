import type { GatePage } from "../cpu/index.js";
import type { Exports } from "../linux/exports/index.js";
import { type Design, Klp, type KlpParts, LINUX_6_12, type Livepatch, type Release } from "../linux/klp/index.js";
import { CompiledLivepatch, type CompiledParts, type KernelCore, type LinkedCore } from "../linux/klp-c/index.js";
import type { LoadedModule, Loader } from "../linux/module/index.js";
import { declareHandler } from "./gates.js";
import { LAYOUT } from "./layout.js";

/** The livepatch core of a machine: one of the two. */
export interface LivepatchCore {
	readonly klp: Livepatch;
	/** The transcription in TypeScript. */
	readonly typescript: Klp | undefined;
	/** The kernel's own C, as guest code. */
	readonly compiled: CompiledLivepatch | undefined;
}

type OwnOfKlp = "modules" | "klp_ftrace_handler_address" | "release" | "HZ" | "klp_have_reliable_stack";
type OwnOfCompiled =
	| ("object" | "linked" | "areas" | "modules" | "design")
	| ("structOf" | "moduleAt" | "output" | "exports");

/** The parts that are made before it. */
export type LivepatchParts = Omit<KlpParts, OwnOfKlp> &
	Omit<CompiledParts, OwnOfCompiled> & { readonly hz: number; readonly linked: LinkedCore | undefined };

/** Parts that are made after it, and that a compiled core calls. */
export interface LaterParts {
	loader(): Loader;
	exports(): Exports;
}

/** Makes the livepatch core: the compiled one if there is one, else that in TypeScript, with its gate. */
export function bootLivepatch(
	options: { readonly design: Design; readonly core?: KernelCore | undefined; readonly release?: Release },
	parts: LivepatchParts,
	gates: GatePage,
	modules: ReadonlyMap<string, LoadedModule>,
	later: LaterParts,
): LivepatchCore {
	const { design, core, release = LINUX_6_12 } = options;
	const { linked, hz } = parts;
	if (core === undefined || linked === undefined) {
		const klp_ftrace_handler_address = gates.address("klp_ftrace_handler");
		const own = { modules, klp_ftrace_handler_address, release, HZ: hz, klp_have_reliable_stack: true };
		const typescript = new Klp({ ...parts, ...own }, design);
		declareHandler(gates, typescript);
		return { klp: typescript, typescript, compiled: undefined };
	}
	const compiled = new CompiledLivepatch({
		...parts,
		...{ object: core, linked, areas: LAYOUT, modules, design },
		structOf: (mod) => later.loader().structOf(mod),
		moduleAt: (address) => later.loader().moduleAt(address),
		output: {
			printk: (args, at, otherwise) => later.exports().output.printk(args, at, otherwise),
			format: (args, at) => later.exports().output.format(args, at),
		},
		exports: () => later.exports().functions,
	});
	return { klp: compiled, typescript: undefined, compiled };
}
