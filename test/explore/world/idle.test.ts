import { expect, test } from "vitest";
import { World } from "../../../src/explore/world/index.js";
import { modelOf, PATCHES } from "../support.js";

test("the idle task of an offline CPU makes no move", async () => {
	const model = await modelOf(`cpus: 2\n${PATCHES}\ntasks: { worker: { calls: [funcA] } }\nsteps: [{ insmod: lp1 }]`);
	const { machine } = model;
	try {
		const world = new World(model);
		expect(world.idleAsleep).toEqual([]);
		machine.shell.run(machine.hotplug.cpu_down(1));
		expect(world.idleAsleep).toEqual([world.slot("swapper/1")]);
		machine.shell.run(machine.hotplug.cpu_up(1));
		expect(world.idleAsleep).toEqual([]);
	} finally {
		machine.close();
	}
});
