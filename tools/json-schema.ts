import { toJsonSchema } from "@valibot/to-json-schema";
import { scenarioSchema } from "../src/scenario/index.js";

/**
 * The scenario format as JSON Schema (draft 7), for editors. Not in src/, as it
 * needs a devDependency.
 */
export function scenarioJsonSchema(): Readonly<Record<string, unknown>> {
	const schema = toJsonSchema(scenarioSchema, {
		typeMode: "input",
		ignoreActions: ["check", "metadata"],
		overrideSchema: ({ valibotSchema }) => (valibotSchema.type === "custom" ? { type: "integer" } : undefined),
	});
	return {
		$schema: schema.$schema ?? "http://json-schema.org/draft-07/schema#",
		title: "klpemu scenario",
		description: "A livepatch scenario: sources, tasks and their calls, livepatches, steps, and the expected results",
		...schema,
	};
}
