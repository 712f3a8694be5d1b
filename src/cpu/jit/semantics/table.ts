import type { Semantic } from "../../x86/index.js";
import { ARITHMETIC, type Emit } from "./arithmetic.js";
import { BITS } from "./bits.js";
import { FLOW } from "./flow.js";
import { MOVES } from "./moves.js";
import { STRINGS } from "./strings.js";

export const SEMANTICS: Partial<Record<Semantic, Emit>> = { ...ARITHMETIC, ...BITS, ...MOVES, ...STRINGS, ...FLOW };
