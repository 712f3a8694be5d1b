/** Steps are executed where the machine stands, before the search comes to them: it finds the same, and goes back to fewer states. */
import { expect, test } from "vitest";
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
