/**
 * Keeps what a real kernel said of a scenario, compact, for CI: `npx tsx test/golden/record.ts SCENARIO TRANSCRIPT ...`, with transcripts of
 * `klpemu vm`. Then `npm run differences`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseScenario } from "../../src/scenario/index.js";
import { FOLDER } from "../../tools/differences.js";
import { compact } from "./compact.js";

const files = process.argv.slice(2);
for (let i = 0; i + 1 < files.length; i += 2) {
	const [file, transcript] = [files[i]!, files[i + 1]!];
	const { modules, livepatches } = parseScenario(readFileSync(file, "utf8"), file);
	const kept = ["livepatch: ", ...[...modules.keys(), ...livepatches.keys()].map((name) => `${name}: `)];
	const record = join(FOLDER, `${basename(file, ".yaml")}.txt`);
	writeFileSync(record, `${compact(readFileSync(transcript, "utf8"), kept)}\n`);
}
