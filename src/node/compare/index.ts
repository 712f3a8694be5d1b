export { type Comparison, compareTranscript, type Difference, TIMING, type Timing } from "./compare.js";
export { errnoOf, parseTranscript, type Transcript, type TranscriptEvent, type TranscriptState } from "./transcript.js";
