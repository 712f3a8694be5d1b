export type { Cell, StepChange, TaskChange, Tone } from "./diff.js";
export { type GraphMove, type GraphState, renderDot } from "./dot.js";
export { renderFtrace, renderTraceCmd } from "./ftrace-text.js";
export { renderJunit, xml } from "./junit.js";
export { Ktap, type KtapSuite, renderStepsKtap } from "./ktap.js";
export { renderPerfetto } from "./perfetto.js";
export { renderMarkdown, type Story, storyOf } from "./story.js";
export { coloured, type Paint, plain, wantsColour, wrap } from "./style.js";
export { renderSvg } from "./svg.js";
export { renderReport, type TextOptions } from "./text.js";
export type { EventCategory, Lane, Timeline, TimelineEvent } from "./timeline.js";
export {
	type Report,
	type ReportFailure,
	type ReportStep,
	type ReportTask,
	type ReportTest,
	type ReportViolation,
	reportSeed,
} from "./types.js";
export { unifiedDiff } from "./unified.js";
