export { emitCall } from "./flow.js";
export { flagsFunction, flagsOfFunction, umulhFunction } from "./helper-functions.js";
export { LazyFlags } from "./lazy-flags.js";
export { moveRsp, topOfStack } from "./moves.js";
export { SEMANTICS } from "./table.js";
export {
	type Access,
	type FunctionIndices,
	IMPORT,
	type MemoryPlace,
	type Place,
	PTE_CODE,
	Translator,
} from "./translator.js";
