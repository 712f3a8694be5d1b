import { expect, test } from "vitest";
import { World } from "../../../src/explore/world/index.js";
import { modelOf, PATCHES } from "../support.js";

test("no task is forked while a loop over all tasks has tasklist_lock", async () => {
	const model = await modelOf(`${PATCHES}
tasks: { worker: { calls: [funcA] } }
steps: [{ fork: { parent: worker, child: child, calls: [funcA] } }]`);
	try {
		const world = new World(model);
		const fork = world.actors.findIndex((_, index) => world.nextStep(index)?.includes("fork"));
		expect(fork).toBeGreaterThanOrEqual(0);
		model.machine.sched.tasklist_lock = true;
		expect(world.nextStep(fork)).toBeUndefined();
		model.machine.sched.tasklist_lock = false;
		expect(world.nextStep(fork)).toBe("fork child from worker");
	} finally {
		model.machine.close();
	}
});
