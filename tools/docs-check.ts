/** npm run docs:check: writes the list of findings in docs/check.md from the table of their kinds. */
import { readFileSync, writeFileSync } from "node:fs";
import { CHAPTERS, type Kind } from "../src/check/index.js";

export const CHECK_DOCUMENT = new URL("../docs/check.md", import.meta.url);
const START = "<!-- kinds: made by npm run docs:check -->\n";

/** The document with the list as it should be: everything behind the mark is made of the table. */
export function checkDocument(text: string): string {
	const at = text.indexOf(START);
	if (at < 0) throw new Error(`docs/check.md has no line '${START.trim()}'`);
	const lines = Object.entries(CHAPTERS).flatMap(([title, kinds]) => [
		"",
		`### ${title}`,
		"",
		...Object.entries(kinds).map(([name, { errno, fault, advice }]: [string, Kind]) => {
			const weight = errno === undefined ? "" : ` (${errno})`;
			return `* **${name}**${weight}: ${fault} *${advice[0]!.toUpperCase()}${advice.slice(1)}.*`;
		}),
	]);
	return `${text.slice(0, at)}${START}${lines.join("\n")}\n`;
}

if (process.argv[1] !== undefined && import.meta.url.endsWith(process.argv[1].replace(/^.*\//, "/"))) {
	writeFileSync(CHECK_DOCUMENT, checkDocument(readFileSync(CHECK_DOCUMENT, "utf8")));
}
