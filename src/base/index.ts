export { bytesToHex, hexToBytes } from "./bytes.js";
export type { EmscriptenLoader } from "./emscripten.js";
export { KlpemuError } from "./errors.js";
export { Hash } from "./hash.js";
export { keyOf, restoreObjects, type SavedObjects, saveObjects } from "./object-graph.js";
export { printable } from "./printable.js";
export { Random } from "./random.js";
export { declareState, type StateDeclaration, type StateFields } from "./state.js";
export { nearest, suggest } from "./suggest.js";
