import { KlpemuError } from "../base/index.js";
import type { Scenario } from "./scenario.js";
import { type FileReader, type SourceRef, whereOf } from "./types.js";

/** The path of a source that the scenario names. Throws `SCENARIO_MISSING_FILE` with the place in the scenario. */
export async function findSource(scenario: Scenario, files: FileReader, source: SourceRef): Promise<string> {
	const path = await files.find(source.path);
	if (path !== undefined) return path;
	// A script of the repository makes this file; the error names the script.
	const made = /^\.cache\/kernel-(modules|ko)\//.test(source.path);
	throw new KlpemuError("SCENARIO_MISSING_FILE", `there is no file '${source.path}'`, {
		where: whereOf(scenario.fileName, source.position),
		hint: made
			? "npm run build:kernel makes it of Linux's own sources"
			: `looked for: ${files.candidates(source.path).join(", ")}`,
	});
}
