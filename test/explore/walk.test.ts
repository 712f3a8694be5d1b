/** Steps are executed where the machine stands, before the search comes to them: it finds the same, and goes back to fewer states. */
import { expect, test } from "vitest";
import { aside } from "../../src/explore/search/aside.js";
import { World } from "../../src/explore/world/index.js";
import { nodeHost } from "../../src/node/index.js";
import { createModel, parseScenario } from "../../src/scenario/index.js";
import { exploreModel, PATCHES } from "./support.js";

const FILE = "scenarios/test.yaml";

const SCENARIO = parseScenario(
	`title: test
${PATCHES}
tasks: { worker: { calls: [funcA, funcB] } }
steps: [{ insmod: lp1 }, settle, { insmod: lp2 }, settle, { disable: lp2 }, settle]`,
	FILE,
);
const newModel = () => createModel(SCENARIO, { host: nodeHost(FILE), design: "mainline" });

test("few steps are made again to return to a state", async () => {
	const { result, executed } = await exploreModel(await newModel());
	expect(result).toBe("complete");
	expect(executed.replayed / executed.kernel).toBeLessThan(7);
});

test("what a step notes that is executed aside, the model and the memory know when it is asked for", async () => {
	const model = await newModel();
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
		model.notes!.add(notes.model);
		world.shared.addNotes(notes.memory);
		expect(state()).toEqual([[[-22], ...before.slice(1)], true]);
	} finally {
		model.machine.close();
	}
});
