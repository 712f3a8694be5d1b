import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { STEPS } from "../../src/scenario/index.js";
import { scenarioJsonSchema } from "../../tools/json-schema.js";

const published = JSON.parse(readFileSync("schema/scenario.schema.json", "utf8"));

test("schema/scenario.schema.json is up to date (else: npm run schema)", () => {
	expect(published).toEqual(JSON.parse(JSON.stringify(scenarioJsonSchema())));
});

test("it knows each step and refuses unknown keys", () => {
	const steps = published.properties.steps.items.anyOf.flatMap((step: { properties?: object }) =>
		Object.keys(step.properties ?? {}).filter((key) => key !== "errno"),
	);
	expect(steps.sort()).toEqual(STEPS.map(({ kind }) => kind).sort());
	expect(published.additionalProperties).toBe(false);
});
