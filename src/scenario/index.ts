export { coreOf } from "./core-design.js";
export { livepatchesUnder } from "./design-keys.js";
export { checkErrno, checkExpectation } from "./expectation.js";
export { createHelper, type ExploredScenario, exploreScenario, replaySchedule } from "./explore.js";
export { fingerprintOf, textFingerprint } from "./fingerprint.js";
export {
	DEFAULTS,
	type LivepatchInput,
	type ParseOptions,
	parseScenario,
	type ReadDocument,
	readDocument,
	type ScenarioInput,
	scenarioSchema,
	type TaskInput,
} from "./format/index.js";
export { checkFunctions, type KnownFunctions } from "./functions.js";
export { hintsFor } from "./hints.js";
export type { Host } from "./host.js";
export type { LoadedKernelObject, LoadedObjects } from "./kernel-objects.js";
export { patchOf as livepatch } from "./livepatches.js";
export { loadObjects, type ObjectLoader } from "./load.js";
export { createModel } from "./model.js";
export { type Judgement, judgeOutcomes, type StepOutcome } from "./outcomes.js";
export { type PackedScenario, packScenario, unpackScenario } from "./pack.js";
export { type RecordedViolation, Recorder, type RunObserver } from "./recorder.js";
export {
	beginOn,
	createScenarioMachine,
	type RunPlace,
	type RunScenarioOptions,
	runOn,
	runScenario,
	ScenarioRun,
} from "./run.js";
export { expectedErrno, expectedVerdict, type Scenario } from "./scenario.js";
export { filterDmesg } from "./selftest.js";
export { findSource } from "./source.js";
export {
	CALL_ROUNDS,
	describeStep,
	type RawStep,
	ROUNDS_LIMIT,
	STEPS,
	STRERROR,
	type Step,
	type StepKind,
} from "./steps/index.js";
export {
	appliesTo,
	type Expectation,
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
	type SourceRef,
	type TaskSpec,
	VERDICTS,
	type Verdict,
	whereOf,
} from "./types.js";
export { fileValue } from "./values.js";
export { type PatchedFunction, watchedFunctions, watchPatch } from "./watched.js";
