export { emitCall } from "./flow.js";
export {
	CF_FIXED,
	FLAG_KIND,
	flagsFunction,
	flagsOfFunction,
	OF_FIXED,
	RESULT_FOLLOWS,
} from "./lazy-flags.js";
export { jumpTo, pageEntry } from "./look-up.js";
export { placeFunction } from "./place.js";
export { enterLevel, moveRsp, topOfStack } from "./stack.js";
export { SEMANTICS } from "./table.js";
export {
	type Access,
	type FunctionIndices,
	inStackSegment,
	LOADS,
	type MemoryPlace,
	type Place,
	STORES,
	Translator,
	typeOf,
} from "./translator.js";
export { umulhFunction } from "./umulh.js";
