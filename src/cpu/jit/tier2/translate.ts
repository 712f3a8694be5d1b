import { flagsOfFunction, umulhFunction } from "../semantics/index.js";
import type { BoundGate } from "../tier1/index.js";
import { buildModule, Code, type Signature } from "../wasm/index.js";
import { emitGraph } from "./emitter.js";
import { HotFunction } from "./function.js";
import { instructionsOf, type Node } from "./node.js";

const I32 = "i32" as const;
const ARGS_GATE: Signature = { params: [I32, I32, I32, I32], results: [I32] };
const STORE_GATE: Signature = { params: [I32], results: [I32] };
const RUN: Signature = { params: [I32, I32], results: [I32] };

/** The name under which a gate with index n is imported. */
export const gateImport = (n: number): string => `gate${n}`;

/** Gates that the graph calls, in the order of their indices. */
function gatesOf(root: Node): BoundGate[] {
	const gates = instructionsOf(root).filter((entry) => entry.kind === "gate");
	return gates.sort((a, b) => a.index - b.index);
}

/** A module with `run(_, fuel)` for the graph; it always starts at the root. */
export function translateHot(root: Node, memoryPages: number): Uint8Array<ArrayBuffer> {
	const gates = gatesOf(root);
	const imports = [
		{ name: "divide", signature: { params: [I32], results: [I32] } },
		...gates.map(({ index, gate }) => ({
			name: gateImport(index),
			signature: gate.passes === "store" ? STORE_GATE : ARGS_GATE,
		})),
	];
	const code = new Code(RUN.params.length);
	const first = imports.length;
	const functions = { divide: 0, flags: first, umulh: first + 1 };
	const indices = new Map(gates.map(({ index }, n) => [index, n + 1]));
	const fn = new HotFunction(code, functions, indices, root.address);
	emitGraph(fn, root);
	fn.finish(first + 2);
	return buildModule(memoryPages, imports, [
		flagsOfFunction(),
		umulhFunction(),
		{ signature: RUN, code, exportAs: "run" },
	]);
}
