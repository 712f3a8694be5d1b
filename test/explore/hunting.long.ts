/** docs/findings/hunting.md: what is found in each scenario of scenarios/hunting is what it says, and nothing else in so many states. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { INVARIANTS } from "../../src/consistency/index.js";
import { nodeHost } from "../../src/node/index.js";
import { exploreScenario, parseScenario } from "../../src/scenario/index.js";
import { part } from "../support/sample.js";

const FOLDER = "scenarios/hunting";
const BUDGET = 20_000;
/** What is found; none: nothing. */
const FOUND: Readonly<Record<string, readonly string[]>> = {
	"exit-in-function": ["warn"],
	"exit-replaced": ["freed-text", "warn"],
	"fork-by-force": ["switched-on-stack"],
	"module-force": ["switched-on-stack"],
	"sysfs-force-end": ["switched-on-stack"],
};

const names = readdirSync(FOLDER).flatMap((file) => /^(.*)\.yaml$/.exec(file)?.[1] ?? []);

function explored(name: string) {
	const file = `${FOLDER}/${name}.yaml`;
	const scenario = parseScenario(readFileSync(file, "utf8"), file);
	const limits = { budget: BUDGET, invariants: new Set(INVARIANTS), all: true, reduction: true };
	return exploreScenario({ scenario, machine: { host: nodeHost(file) }, ...limits });
}

const [something, nothing] = [names.filter((name) => name in FOUND), names.filter((name) => !(name in FOUND))];
test.each([...something, ...part(nothing, 3)])("%s", async (name) => {
	const { exploration, judgement } = await explored(name);
	expect(exploration.violations.map(({ broken }) => broken.invariant).sort()).toEqual(FOUND[name] ?? []);
	if (exploration.result !== "bounded") expect(judgement.failures).toEqual([]);
});
