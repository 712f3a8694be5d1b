/** Writes the transcripts' JSON Lines, and those of the selftests, from the recorded files: `npx tsx test/golden/update.ts FOLDER_WITH_GOLDEN_TXT`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { filterDmesg } from "../../src/scenario/selftest.js";
import { TRANSCRIPTS, transcriptLines } from "./load.js";

const folder = process.argv[2];
if (folder === undefined) throw new Error("which folder holds the recorded transcripts?");
for (const name of TRANSCRIPTS) {
	const target = new URL(`${name}.jsonl`, import.meta.url);
	writeFileSync(target, transcriptLines(readFileSync(join(folder, `${name}.txt`), "utf8")));
}
for (const script of ["callbacks", "ftrace", "livepatch", "shadow-vars", "state", "syscall", "sysfs"]) {
	const recorded = readFileSync(join(folder, `linux-6.12-selftest-${script}.txt`), "utf8");
	writeFileSync(`scenarios/selftests/test-${script}.dmesg`, selftestTranscript(recorded));
}

/** Without time stamps and what the scripts do not compare; the lines of each test under its title. */
function selftestTranscript(recorded: string): string {
	const lines = recorded.split("\n").map((line) => line.replace(/^\[[ 0-9.]*\] /, ""));
	const first = lines.findIndex((line) => line.startsWith("===== TEST"));
	const kept = lines.slice(first).filter((line) => line.startsWith("=====") || /^OUT\||^###/.test(line) === false);
	const out = kept.flatMap((line) => (line.startsWith("=====") ? [line] : filterDmesg([line])));
	return `${out.join("\n")}\n`;
}
