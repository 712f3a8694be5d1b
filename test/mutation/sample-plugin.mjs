/** Plugins of Stryker: a checker that lets only the mutants of the sample run, and a reporter that writes each result at once. */
import { appendFileSync, readFileSync } from "node:fs";
import { CheckStatus } from "@stryker-mutator/api/check";
import { declareClassPlugin, PluginKind } from "@stryker-mutator/api/plugin";
import { keyOf, RESULTS, SAMPLE } from "./keys.mjs";

/** Stryker mutates ranges, and smaller mutants lie inside of larger ones. */
class SampleChecker {
	async init() {
		this.keys = new Set(JSON.parse(readFileSync(SAMPLE, "utf8")));
	}
	async check(mutants) {
		const passed = { status: CheckStatus.Passed };
		const failed = { status: CheckStatus.CompileError, reason: "not in the sample" };
		return Object.fromEntries(mutants.map((mutant) => [mutant.id, this.keys.has(keyOf(mutant)) ? passed : failed]));
	}
}

class ResultReporter {
	onMutantTested(mutant) {
		const { status, killedBy, statusReason } = mutant;
		if (status === "CompileError") return;
		appendFileSync(RESULTS, `${JSON.stringify({ key: keyOf(mutant), status, killedBy, statusReason })}\n`);
	}
}

export const strykerPlugins = [
	declareClassPlugin(PluginKind.Checker, "sample", SampleChecker),
	declareClassPlugin(PluginKind.Reporter, "result", ResultReporter),
];
