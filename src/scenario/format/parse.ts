import * as v from "valibot";
import { designs } from "../../designs/index.js";
import type { Scenario } from "../scenario.js";
import { ScenarioDocument } from "./document.js";
import { explain } from "./explain.js";
import type { ParseOptions } from "./names.js";
import { Normaliser } from "./normalise.js";
import { livepatchKeys, scenarioSchema, scenarioSchemaOf } from "./schema.js";

/**
 * Reads a scenario file: YAML 1.2, checked against the schema, names resolved, defaults filled in.
 *
 * Throws a KlpemuError whose `where` is `fileName:line:column`: `SCENARIO_SYNTAX`, `SCENARIO_UNKNOWN_KEY`,
 * `SCENARIO_MISSING_KEY`, `SCENARIO_BAD_VALUE`, `SCENARIO_UNKNOWN_STEP`, `SCENARIO_UNKNOWN_TASK`,
 * `SCENARIO_UNKNOWN_LIVEPATCH`, `SCENARIO_UNKNOWN_MODULE`, `SCENARIO_UNKNOWN_DESIGN`, `SCENARIO_DUPLICATE`,
 * `SCENARIO_EXPECT`. Names of functions are checked later, by `checkFunctions`: they need the compiled objects.
 */
export function parseScenario(text: string, fileName: string, options: ParseOptions = {}): Scenario {
	const document = new ScenarioDocument(text, fileName);
	const keys = livepatchKeys(options.registry ?? designs);
	const schema = options.registry === undefined ? scenarioSchema : scenarioSchemaOf(keys);
	const result = v.safeParse(schema, document.value);
	if (result.success) return new Normaliser(document, result.output, options, keys).scenario();
	const problem = explain(schema, document.value, []);
	// explain() walks the schema that has just refused the value, so it finds something, or it has a bug.
	if (problem === undefined) throw new Error(`${fileName}: refused without a reason: ${result.issues[0].message}`);
	throw document.error(problem.code, problem.path, problem.message, problem.hint, problem.at);
}
