import { ARITHMETIC } from "./arithmetic.js";
import { BITS } from "./bits.js";
import { FLOW } from "./flow.js";
import { MOVES } from "./moves.js";
import { STRINGS } from "./strings.js";
import type { SemanticTable } from "./translator.js";

/** How each semantic of the opcode table is emitted. */
export const SEMANTICS: SemanticTable = { ...ARITHMETIC, ...BITS, ...MOVES, ...STRINGS, ...FLOW };
