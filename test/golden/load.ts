import { readFileSync } from "node:fs";
import { parseTranscript, type TranscriptEvent, type TranscriptState } from "./transcript.js";

export const TRANSCRIPTS = ["linux-6.12-mainline-order", "linux-6.12-rfc-petr"] as const;

/** JSON Lines, one event each: small, and a difference is easy to read. */
export function transcriptLines(text: string): string {
	return parseTranscript(text)
		.map((event) => `${JSON.stringify(event)}\n`)
		.join("");
}

export function loadTranscript(name: (typeof TRANSCRIPTS)[number]): TranscriptEvent[] {
	const text = readFileSync(new URL(`${name}.jsonl`, import.meta.url), "utf8");
	return text
		.trimEnd()
		.split("\n")
		.map((line) => JSON.parse(line) as TranscriptEvent);
}

export function statesOf(events: readonly TranscriptEvent[]): TranscriptState[] {
	return events.filter((event) => event.kind === "state");
}
