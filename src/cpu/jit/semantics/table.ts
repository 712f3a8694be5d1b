import { ARITHMETIC } from "./arithmetic.js";
import { BITS } from "./bits.js";
import { FLOW } from "./flow.js";
import { MOVES } from "./moves.js";
import { PROCESSOR } from "./processor.js";
import { STACK } from "./stack.js";
import { STRINGS } from "./strings.js";
import type { SemanticTable } from "./translator.js";

/** The function that emits each semantic of the opcode table. */
export const SEMANTICS: SemanticTable = {
	...ARITHMETIC,
	...BITS,
	...MOVES,
	...STACK,
	...STRINGS,
	...FLOW,
	...PROCESSOR,
};
