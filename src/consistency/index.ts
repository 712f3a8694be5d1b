export { InvariantChecker, type Violation } from "./checker.js";
export { chosenOn } from "./chosen.js";
export { functionsInside } from "./inside.js";
export { INVARIANTS, type Invariant, RULES } from "./invariants.js";
export {
	type Broken,
	type JudgedTask,
	judgeError,
	judgeOops,
	judgeStep,
	judgeTask,
	judgeWarnings,
	type Step,
} from "./judge.js";
export { type FromTo, fromTo, type Look, lookAt, viewOf } from "./look.js";
export { tuple, type View } from "./view.js";
export type { WatchedFunction } from "./watched.js";
