export { type Comparison, compareTranscript, type Difference, type Forgiven } from "./compare.js";
export { TIMING, type Timing } from "./timing.js";
export { errnoOf, parseTranscript, type Transcript, type TranscriptEvent, type TranscriptState } from "./transcript.js";
