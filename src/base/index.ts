export { bytesToHex, hexToBytes } from "./bytes.js";
export type { EmscriptenLoader } from "./emscripten.js";
export { KlpemuError } from "./errors.js";
export { Hash } from "./hash.js";
export { Random } from "./random.js";
export { nearest, suggest } from "./suggest.js";
