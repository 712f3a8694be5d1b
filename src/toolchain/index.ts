export { type Assembled, assemble } from "./assemble.js";
export { HintTable, type UnwindHint } from "./hints.js";
export { loadKeystone } from "./keystone.js";
