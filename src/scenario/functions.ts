import { KlpemuError, suggest } from "../base/index.js";
import type { Scenario } from "./scenario.js";
import { whereOf } from "./types.js";

/** The functions that the compiled objects define. */
export interface KnownFunctions {
	/** Those of vmlinux and of the scenario's modules. */
	readonly kernel: ReadonlySet<string>;
	/** By livepatch: those of its own objects. */
	readonly livepatches: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Throws `SCENARIO_UNKNOWN_FUNC` for the first function that the file names and no object defines. */
export function checkFunctions(scenario: Scenario, known: KnownFunctions): void {
	for (const { name, livepatch, position } of scenario.functions) {
		const there = livepatch === undefined ? known.kernel : known.livepatches.get(livepatch);
		if (there?.has(name)) continue;
		const whose = livepatch === undefined ? "" : ` of the livepatch '${livepatch}'`;
		throw new KlpemuError("SCENARIO_UNKNOWN_FUNC", `unknown function '${name}'${whose}`, {
			where: whereOf(scenario.fileName, position),
			hint: suggest(name, "functions", [...(there ?? [])]),
		});
	}
}
