export {
	InvariantChecker,
	implementation,
	resolveView,
	type Violation,
	type WatchedFunction,
} from "./invariants.js";
