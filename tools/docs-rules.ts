/** npm run docs:rules: writes docs/rules.md from docs/rules.yaml and the titles of the tests. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { rulesDocument, testTitles } from "./rules.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const files = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
	.filter((name) => name.endsWith(".test.ts"))
	.sort()
	.map((name) => join(root, "test", name));
const titles = files.flatMap((file) => {
	const path = relative(root, file).replaceAll("\\", "/");
	return testTitles(readFileSync(file, "utf8"), path);
});
const { text, problems } = rulesDocument(readFileSync(join(root, "docs", "rules.yaml"), "utf8"), titles);
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
else writeFileSync(join(root, "docs", "rules.md"), text);
