export {
	ABSENT,
	type Choice,
	codeOf,
	InvariantChecker,
	implementation,
	resolveView,
	type Violation,
	type WatchedFunction,
} from "./invariants.js";
export {
	type Broken,
	COMPLETED,
	type Judged,
	judgeMove,
	judgeTask,
	type KernelLook,
	lookAt,
	type NamedView,
	promisedView,
	viewFor,
} from "./judge.js";
