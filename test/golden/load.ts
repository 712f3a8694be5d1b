import { readFileSync } from "node:fs";
import { filterDmesg } from "../../src/scenario/index.js";

/** The selftest scripts whose dmesg was recorded: test-NAME.sh. */
export const SELFTESTS = ["callbacks", "ftrace", "livepatch", "shadow-vars", "state", "syscall", "sysfs"] as const;

/** What was recorded, as it was recorded: transcripts/README.md says how. */
export function recording(name: string): string {
	return readFileSync(new URL(`transcripts/linux-6.12-${name}.txt`, import.meta.url), "utf8");
}

/** Without time stamps and what the scripts do not compare; the lines of each test under its title. */
export function selftestTranscript(recorded: string): string {
	const lines = recorded.split("\n").map((line) => line.replace(/^\[[ 0-9.]*\] /, ""));
	const first = lines.findIndex((line) => line.startsWith("===== TEST"));
	const kept = lines.slice(first).filter((line) => !/^OUT\||^###/.test(line));
	const out = kept.flatMap((line) => (line.startsWith("=====") ? [line] : filterDmesg([line])));
	return `${out.join("\n")}\n`;
}
