/**
 * Writes the files that are made from the scenario's schema: schema/scenario.schema.json, and README's table of steps.
 * `npm run schema`
 */
import { readFileSync, writeFileSync } from "node:fs";
import { scenarioJsonSchema } from "./json-schema.js";
import { withStepsTable } from "./steps-table.js";

const schema = new URL("../schema/scenario.schema.json", import.meta.url);
writeFileSync(schema, `${JSON.stringify(scenarioJsonSchema(), undefined, "\t")}\n`);
const readme = new URL("../README.md", import.meta.url);
writeFileSync(readme, withStepsTable(readFileSync(readme, "utf8")));
