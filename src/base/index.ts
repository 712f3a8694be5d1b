export { beginsWith, bytesToHex, ELF_MAGIC, hexToBytes } from "./bytes.js";
export { cloneHint } from "./clones.js";
export { isTooDeep, MAX_DEPTH } from "./depth.js";
export type { EmscriptenLoader } from "./emscripten.js";
export { KlpemuError } from "./errors.js";
export { groupBy } from "./group-by.js";
export { Hash, hashOfBytes } from "./hash.js";
export { keyOf, keyPartsOf, restoreObjects, type SavedObjects, saveObjects } from "./object-graph.js";
export { once } from "./once.js";
export { printable, printableData, printableJson } from "./printable.js";
export { Random } from "./random.js";
export { lowerBound } from "./search.js";
export { declareState, type StateDeclaration, type StateFields } from "./state.js";
export { nearest, nearestFew, suggest } from "./suggest.js";

/**
 * Names of the DOM that public types mention, for programs that compile without the DOM library. With it, they are
 * merged with its declarations.
 */
declare global {
	namespace WebAssembly {
		interface Memory {}
	}
	// The types of valibot mention these two.
	interface Blob {}
	interface File {}
}
