/** Writes the transcripts' JSON Lines, and those of the selftests, from the recorded files: `npx tsx test/golden/update.ts FOLDER_WITH_GOLDEN_TXT`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SELFTESTS, selftestTranscript, TRANSCRIPTS, transcriptLines } from "./load.js";

const folder = process.argv[2];
if (folder === undefined) throw new Error("which folder holds the recorded transcripts?");
for (const name of TRANSCRIPTS) {
	const target = new URL(`${name}.jsonl`, import.meta.url);
	writeFileSync(target, transcriptLines(readFileSync(join(folder, `${name}.txt`), "utf8")));
}
for (const script of SELFTESTS) {
	const recorded = readFileSync(join(folder, `linux-6.12-selftest-${script}.txt`), "utf8");
	writeFileSync(`scenarios/selftests/test-${script}.dmesg`, selftestTranscript(recorded));
}
