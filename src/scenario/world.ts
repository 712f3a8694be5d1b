import type { Machine } from "../machine/index.js";
import { livepatchesUnder } from "./design-keys.js";
import type { LoadedObjects } from "./load.js";
import { ScenarioOps } from "./ops.js";
import type { Scenario } from "./scenario.js";
import type { Driver, StepWorld } from "./steps/index.js";
import { ScenarioTasks, type SleepControl } from "./tasks.js";
import type { PatchedFunction } from "./watched.js";

/** The objects on which the steps of a scenario act. Throws `SCENARIO_FOREIGN_KEY`. */
export function createWorld(
	scenario: Scenario,
	machine: Machine,
	loaded: LoadedObjects,
	functions: readonly PatchedFunction[],
	control: SleepControl,
	driver: Driver,
): StepWorld {
	const tasks = new ScenarioTasks(scenario.fileName, machine, functions, control);
	const objects = new Map([...loaded.modules, ...loaded.livepatches]);
	const ops = new ScenarioOps(machine, scenario.ops);
	const declared = livepatchesUnder(scenario, machine.klp.design);
	const livepatches = new Map([...declared].filter(([name]) => loaded.livepatches.has(name)));
	return { machine, livepatches, objects, tasks, ops, ...driver };
}
