/** Writes schema/scenario.schema.json from the schema that validates scenarios: `npm run schema`. */
import { writeFileSync } from "node:fs";
import { scenarioJsonSchema } from "./json-schema.js";

const target = new URL("../schema/scenario.schema.json", import.meta.url);
writeFileSync(target, `${JSON.stringify(scenarioJsonSchema(), undefined, "\t")}\n`);
