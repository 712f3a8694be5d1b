export { type Assembled, assemble, type EngineAssembly } from "./assemble.js";
export { HintTable, type UnwindHint } from "./hints.js";
export { loadKeystone } from "./keystone.js";
