import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { RULES } from "../src/consistency/index.js";
import { commands } from "../src/node/cli/index.js";
import { nodeHost } from "../src/node/index.js";
import { renderReport } from "../src/report/index.js";
import { parseScenario, runScenario, STEPS } from "../src/scenario/index.js";
import { withStepsTable } from "../tools/steps-table.js";

const readme = readFileSync("README.md", "utf8");

test("the set-up is two lines: one runs the main job, one all the tests", () => {
	const lines = readme.split("\n").filter((line) => line.startsWith("    ") && line.includes("npm ci"));
	expect(lines).toHaveLength(2);
	expect(lines[0]).toMatch(/npx klpemu run scenarios\/hybrid-lp1-lp2-lp3\.yaml$/);
	expect(lines[1]).toMatch(/npm test$/);
});

test("the example is what the command really prints", async () => {
	const example = readme.slice(readme.indexOf("<!-- example"), readme.indexOf("<!-- end of example"));
	const lines = example.split("\n").filter((line) => line.startsWith("    "));
	expect(lines.length).toBeGreaterThan(20);
	const file = "scenarios/hybrid-lp1-lp2-lp3.yaml";
	const scenario = parseScenario(readFileSync(file, "utf8"), file);
	const report = await runScenario(scenario, { host: nodeHost(file) });
	const printed = renderReport(report, { width: 100, colour: false, dmesg: false }).split("\n");
	// Abridged, so the lines are compared one by one; each part of it must be there in order.
	let position = -1;
	for (const line of lines) {
		const next = printed.indexOf(line.slice(4), position + 1);
		expect(next, line).toBeGreaterThan(position);
		position = next;
	}
});

test("it names all scenarios, invariants and commands, and no others", () => {
	const named = [...new Set([...readme.matchAll(/scenarios\/[\w.-]+\.yaml/g)].map(([name]) => name))];
	expect(named.sort()).toEqual(
		readdirSync("scenarios")
			.filter((name) => name.endsWith(".yaml"))
			.map((name) => `scenarios/${name}`)
			.sort(),
	);
	for (const [invariant, rule] of Object.entries(RULES)) expect(readme).toContain(`| \`${invariant}\` | ${rule} |`);
	const listed = [...readme.matchAll(/^ {4}klpemu (kernel \w+|\w+)/gm)].map(([, name]) => name);
	expect(listed).toEqual(commands.map(({ name }) => name));
});

test("the table of steps comes from their definitions (else: npm run schema)", () => {
	for (const { doc, kind } of STEPS) expect(doc.form[0]).toMatch(new RegExp(`^${kind}(:|$)`));
	expect(readme).toBe(withStepsTable(readme));
});
