import * as v from "valibot";
import type { KlpemuError } from "../../base/index.js";
import { designs } from "../../designs/index.js";
import type { Scenario } from "../scenario.js";
import { type Path, ScenarioDocument } from "./document.js";
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
	return new Normaliser(document, checked(document, schema), options, keys).scenario();
}

/** A YAML file of another kind, checked against its schema. `error`: makes the error of one place. */
export interface ReadDocument<T> {
	readonly value: T;
	error(code: string, path: Path, message: string, hint?: string): KlpemuError;
}

/** Reads a YAML file of another kind as {@link parseScenario} reads a scenario. Throws the same errors, with the places. */
export function readDocument<const Schema extends v.GenericSchema>(
	text: string,
	fileName: string,
	schema: Schema,
): ReadDocument<v.InferOutput<Schema>> {
	const document = new ScenarioDocument(text, fileName);
	return {
		value: checked(document, schema),
		error: (...problem) => document.error(...problem),
	};
}

function checked<Schema extends v.GenericSchema>(document: ScenarioDocument, schema: Schema): v.InferOutput<Schema> {
	const result = v.safeParse(schema, document.value);
	if (result.success) return result.output;
	const problem = explain(schema, document.value, []);
	// explain() walks the schema that has just refused the value, so it finds something, or it has a bug.
	if (problem === undefined)
		throw new Error(`${document.fileName}: refused without a reason: ${result.issues[0].message}`);
	throw document.error(problem.code, problem.path, problem.message, problem.hint, problem.at);
}
