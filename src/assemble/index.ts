export { type Assembled, assemble } from "./assemble.js";
export { decodeCode, type EngineCode, type EngineImage, type EnginePart, encodeCode } from "./engine-image.js";
export type { UnwindHint } from "./hints.js";
export { Keystone } from "./keystone.js";
