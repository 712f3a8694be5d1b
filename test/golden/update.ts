/** Writes the transcripts' JSON Lines from the recorded files: `npx tsx test/golden/update.ts FOLDER_WITH_GOLDEN_TXT`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TRANSCRIPTS, transcriptLines } from "./load.js";

const folder = process.argv[2];
if (folder === undefined) throw new Error("which folder holds the recorded transcripts?");
for (const name of TRANSCRIPTS) {
	const target = new URL(`${name}.jsonl`, import.meta.url);
	writeFileSync(target, transcriptLines(readFileSync(join(folder, `${name}.txt`), "utf8")));
}
