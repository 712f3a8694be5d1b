export { describeStep } from "./describe.js";
export { checkErrno, checkExpectation } from "./expectation.js";
export { exploreScenario, fingerprintOf, replaySchedule } from "./explore.js";
export { type ParseOptions, parseScenario, STEP_VALUES, scenarioSchema } from "./format/index.js";
export { checkFunctions, type KnownFunctions } from "./functions.js";
export type { Host } from "./host.js";
export type { ObjectLoader } from "./load.js";
export { createModel } from "./model.js";
export { createScenarioMachine, livepatch, type RunScenarioOptions, runScenario } from "./run.js";
export { filterDmesg } from "./selftest.js";
export { findSource } from "./source.js";
export {
	appliesTo,
	type Expectation,
	expectedErrno,
	expectedVerdict,
	type FileReader,
	type FuncSpec,
	type FunctionRef,
	type LivepatchSpec,
	type ModuleSpec,
	type ObjectSpec,
	OPS_FLAGS,
	type OpsFlag,
	type OpsSpec,
	PATCH_STATES,
	type PatchState,
	type Position,
	type Scenario,
	type SourceRef,
	type Step,
	type StepKind,
	type TaskSpec,
	VERDICTS,
	type Verdict,
	whereOf,
} from "./types.js";
