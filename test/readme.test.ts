import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { nodeHost } from "../src/node/index.js";
import { renderReport } from "../src/report/index.js";
import { parseScenario, runScenario, STEPS } from "../src/scenario/index.js";
import { reference } from "../tools/reference.js";

const readme = readFileSync("README.md", "utf8");

/** What `klpemu run` prints at 80 columns. */
async function printed(file: string): Promise<string[]> {
	const scenario = parseScenario(readFileSync(file, "utf8"), file);
	const report = await runScenario(scenario, { host: nodeHost(file) });
	return renderReport(report, { width: 80, colour: false, dmesg: false }).split("\n");
}

/** Each of the lines is among those that are printed, in their order: the text is abridged. */
function expectAbridged(lines: readonly string[], all: readonly string[]): void {
	let position = -1;
	for (const line of lines) {
		const next = all.indexOf(line.slice(4), position + 1);
		expect(next, line).toBeGreaterThan(position);
		position = next;
	}
}

test("the set-up is two lines: one runs the main job, one all the tests", () => {
	const lines = readme.split("\n").filter((line) => line.startsWith("    ") && line.includes("npm ci"));
	expect(lines).toHaveLength(2);
	expect(lines[0]).toMatch(/npx klpemu run scenarios\/hybrid-lp1-lp2-lp3\.yaml$/);
	expect(lines[1]).toMatch(/npm test$/);
});

test("the kernel's own code runs in three lines, which .ci/run runs as they stand", () => {
	const lines = readme.split("\n");
	const first = lines.indexOf("    apt-get install -y linux-source-6.12 linux-headers-6.12-cloud-amd64");
	expect(lines.slice(first + 1, first + 4)).toEqual([
		"    npx klpemu kernel build",
		"    npx klpemu run scenarios/hybrid-lp1-lp2-lp3.yaml --core linux-6.12.klpcore",
		"",
	]);
	expect(readFileSync(".ci/run", "utf8")).toContain(`grep -A2 -E '^${lines[first]}$' README.md`);
});

test("the example is what the command really prints", async () => {
	const example = readme.slice(readme.indexOf("<!-- example"), readme.indexOf("<!-- end of example"));
	const lines = example.split("\n").filter((line) => line.startsWith("    "));
	expect(lines.length).toBeGreaterThan(15);
	expectAbridged(lines, await printed("scenarios/hybrid-lp1-lp2-lp3.yaml"));
});

test("the scenario to copy runs, and prints what stands below it", async () => {
	const start = readme.indexOf("## A scenario of your own");
	const part = readme.slice(start, readme.indexOf("\n## ", start + 1));
	// A block for each file, and one for the output. A file's text begins with its name, or is the scenario.
	const indented = part.split("\n").map((line) => (line === "" || line.startsWith("    ") ? line : "\0"));
	const text = indented
		.join("\n")
		.split("\0")
		.find((block) => block.includes("price.c: the kernel"))!;
	const at = ["    /* price.c", "    /* lp1.c", "    title:", "    $ npx klpemu run price.yaml\n"].map((mark) =>
		text.indexOf(mark),
	);
	expect(at).toEqual([...at].sort((a, b) => a - b));
	const [price, lp1, scenario] = at
		.slice(0, 3)
		.map((from, index) => text.slice(from, at[index + 1]).replace(/^ {4}/gm, ""));
	const folder = mkdtempSync(join(tmpdir(), "klpemu-"));
	writeFileSync(join(folder, "price.c"), price!);
	writeFileSync(join(folder, "lp1.c"), lp1!);
	writeFileSync(join(folder, "price.yaml"), scenario!);
	const lines = text
		.slice(at[3])
		.split("\n")
		.slice(1)
		.filter((line) => line.trim() !== "");
	expect(lines.length).toBeGreaterThan(8);
	expectAbridged(lines, await printed(join(folder, "price.yaml")));
});

test("docs/scenarios.md names all scenarios, and no others", () => {
	const page = readFileSync("docs/scenarios.md", "utf8");
	const named = [...new Set([...page.matchAll(/scenarios\/[\w.-]+\.yaml/g)].map(([name]) => name))];
	const there = readdirSync("scenarios").filter((name) => name.endsWith(".yaml"));
	expect(named.sort()).toEqual(there.map((name) => `scenarios/${name}`).sort());
});

test("docs/reference.md is what npm run schema writes", async () => {
	for (const { doc, kind } of STEPS) expect(doc.form[0]).toMatch(new RegExp(`^${kind}(:|$)`));
	expect(readFileSync("docs/reference.md", "utf8")).toBe(await reference());
});

test.each([
	"README.md",
	"CONTRIBUTING.md",
	...readdirSync("docs")
		.filter((name) => name.endsWith(".md"))
		.map((name) => `docs/${name}`),
])("the links of %s lead to files", (file) => {
	const links = [...readFileSync(file, "utf8").matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, link]) => link!);
	const local = links.filter((link) => !/^https?:/.test(link));
	expect(local.filter((link) => !existsSync(join(dirname(file), link)))).toEqual([]);
});
