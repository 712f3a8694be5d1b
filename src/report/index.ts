export {
	INVARIANTS,
	type Invariant,
	type Report,
	type ReportFailure,
	type ReportStep,
	type ReportTask,
	type ReportViolation,
	reportSeed,
} from "./types.js";
