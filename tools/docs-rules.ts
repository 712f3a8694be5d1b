/** npm run docs:rules: writes docs/rules.md from docs/rules.yaml and the titles of the tests. */
import { writeFileSync } from "node:fs";
import { projectRules } from "./rules.js";

const { text, problems } = projectRules();
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
else writeFileSync(new URL("../docs/rules.md", import.meta.url), text);
