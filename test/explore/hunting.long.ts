/**
 * docs/findings/hunting.md: each scenario of scenarios/hunting begins with its question and the verdict, and has its exact counts beside it
 * (npm run findings -- --counts FILE).
 */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { INVARIANTS } from "../../src/consistency/index.js";
import { nodeHost } from "../../src/node/index.js";
import { exploreScenario, parseScenario } from "../../src/scenario/index.js";
import { type Counts, countsFile, countsOf, HUNTING, HUNTING_BUDGET, headOf } from "../../tools/findings-counts.js";
import { part } from "../support/sample.js";

const files = readdirSync(HUNTING).flatMap((name) => (name.endsWith(".yaml") ? [`${HUNTING}/${name}`] : []));

function said(file: string): Readonly<Record<string, Counts>> {
	return JSON.parse(readFileSync(countsFile(file), "utf8"));
}
const finds = (file: string) => said(file).mainline!.invariants.length > 0;

test.each(files)("%s begins with its question and the verdict of its counts", (file) => {
	const { question, verdicts } = headOf(readFileSync(file, "utf8"), ["mainline"]);
	const { result, invariants } = said(file).mainline!;
	expect(question).toContain("?");
	expect([...verdicts]).toEqual([["mainline", invariants.join(", ") || result]]);
});

test.each([
	...files.filter(finds),
	...part(
		files.filter((file) => !finds(file)),
		3,
	),
])("%s", async (file) => {
	const scenario = parseScenario(readFileSync(file, "utf8"), file);
	const limits = { budget: HUNTING_BUDGET, invariants: new Set(INVARIANTS), all: true, reduction: true };
	const { exploration, judgement } = await exploreScenario({ scenario, machine: { host: nodeHost(file) }, ...limits });
	expect({ mainline: countsOf(exploration) }).toEqual(said(file));
	if (exploration.result !== "bounded") expect(judgement.failures).toEqual([]);
});
