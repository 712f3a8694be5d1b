/**
 * Writes the files that are made from the scenario's schema, the steps and the commands: schema/scenario.schema.json and
 * docs/reference.md. `npm run schema`
 */
import { writeFileSync } from "node:fs";
import { scenarioJsonSchema } from "./json-schema.js";
import { reference } from "./reference.js";

const schema = new URL("../schema/scenario.schema.json", import.meta.url);
writeFileSync(schema, `${JSON.stringify(scenarioJsonSchema(), undefined, "\t")}\n`);
writeFileSync(new URL("../docs/reference.md", import.meta.url), await reference());
