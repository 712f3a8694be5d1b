export {
	type Assembled,
	assemble,
	assembledSoFar,
	type EngineAssembly,
	type PrebuiltAssembly,
	usePrebuilt,
} from "./assemble.js";
export { HintTable, type UnwindHint } from "./hints.js";
export { loadKeystone } from "./keystone.js";
