/** Steps that a second machine executes, in an order of its own: the search finds the same, and goes back to fewer states. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Ahead } from "../../src/explore/index.js";
import { nodeHost } from "../../src/node/index.js";
import { createModel, parseScenario } from "../../src/scenario/index.js";
import { exploreModel } from "./support.js";

async function explored(file: string, design: string, isAhead: boolean) {
	const scenario = parseScenario(readFileSync(file, "utf8"), file);
	const another = () => createModel(scenario, { host: nodeHost(file), design });
	const ahead = isAhead ? new Ahead(another, 1000) : undefined;
	const { executed, ...found } = await exploreModel(await another(), { all: true, ahead });
	return { found, executed };
}

test.each([
	["survivor-above", "mainline", "complete"],
	["survivor-above", "rfc-2025", "violated"],
])("%s under %s: %s", async (name, design, result) => {
	const file = `scenarios/family/${name}.yaml`;
	const alone = await explored(file, design, false);
	const ahead = await explored(file, design, true);
	expect(alone.found.result).toBe(result);
	expect(ahead.found).toEqual(alone.found);
	expect(ahead.executed.kernel).toBe(alone.executed.kernel);
	expect(ahead.executed.replayed).toBeLessThan(0.9 * alone.executed.replayed);
});
