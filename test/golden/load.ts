import { readFileSync } from "node:fs";
import { filterDmesg } from "../../src/scenario/index.js";
import { parseTranscript, type TranscriptEvent, type TranscriptState } from "./transcript.js";

export const TRANSCRIPTS = ["linux-6.12-mainline-order", "linux-6.12-rfc-petr"] as const;
/** The selftest scripts whose dmesg was recorded: test-NAME.sh. */
export const SELFTESTS = ["callbacks", "ftrace", "livepatch", "shadow-vars", "state", "syscall", "sysfs"] as const;

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

/** Without time stamps and what the scripts do not compare; the lines of each test under its title. */
export function selftestTranscript(recorded: string): string {
	const lines = recorded.split("\n").map((line) => line.replace(/^\[[ 0-9.]*\] /, ""));
	const first = lines.findIndex((line) => line.startsWith("===== TEST"));
	const kept = lines.slice(first).filter((line) => !/^OUT\||^###/.test(line));
	const out = kept.flatMap((line) => (line.startsWith("=====") ? [line] : filterDmesg([line])));
	return `${out.join("\n")}\n`;
}
