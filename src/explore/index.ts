export {
	InvariantChecker,
	implementation,
	resolveView,
	type Violation,
	type WatchedFunction,
} from "./invariants.js";
export { KernelGraph } from "./kernel-graph.js";
export type { Admin, AdminStep, Model, ModelTask, Preemption } from "./model.js";
export { Search, type SearchOptions, type SearchResult } from "./search.js";
export { World } from "./world.js";
