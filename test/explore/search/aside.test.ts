/** What actors note in steps that are made aside: it does not count before it is noted. */
import { expect, test } from "vitest";
import { aside } from "../../../src/explore/search/aside.js";
import { noteIn } from "../../../src/explore/search/executions.js";
import { World } from "../../../src/explore/world/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { createModel, parseScenario } from "../../../src/scenario/index.js";
import { PATCHES } from "../support.js";

const FILE = "scenarios/test.yaml";

test("what a step notes that is executed aside, the model and the memory know when it is asked for", async () => {
	const scenario = parseScenario(`title: test\n${PATCHES}\nsteps: [insmod: lp1]`, FILE);
	const model = await createModel(scenario, { host: nodeHost(FILE) });
	try {
		const world = new World(model);
		const steps = () => model.outcomes.list().map(({ results }) => results);
		const before = steps();
		const { notes } = aside(world, () => {
			model.notes!.add([[0, -22]]);
			world.shared.addGate("kfree");
		});
		const state = () => [steps(), world.shared.grown];
		expect(state()).toEqual([before, false]);
		noteIn(world, notes);
		expect(state()).toEqual([[[-22], ...before.slice(1)], true]);
	} finally {
		model.machine.close();
	}
});
