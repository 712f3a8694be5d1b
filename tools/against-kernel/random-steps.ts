/** Random steps of administrators and sleepers, chosen so that what happens next does not depend on time. */

import { stringify } from "yaml";
import { Random } from "../../src/base/index.js";
import { nodeHost } from "../../src/node/index.js";
import type { ReportStep } from "../../src/report/index.js";
import { createScenarioMachine, parseScenario, type RawStep, ScenarioRun } from "../../src/scenario/index.js";

/** An action, and the steps that let it have its effect. */
export type Unit = readonly RawStep[];

/** Where the scenario stands: its sources are relative to it. */
export const FILE = "scenarios/random.yaml";
const LIVEPATCHES = {
	lp1: { sources: ["asm/livepatches/lp1.c"], funcs: { funcA: "lp1_funcA" } },
	lp2: { sources: ["asm/livepatches/lp2.c"], funcs: { funcA: "lp2_funcA", funcB: "lp2_funcB" } },
	lp3: { sources: ["asm/livepatches/lp3.c"], replace: true, funcs: { funcB: "lp3_funcB" } },
	lp4: { sources: ["asm/livepatches/lp4.c"], funcs: { funcA: "lp4_funcA", funcB: "lp4_funcB" } },
	lp5: { sources: ["asm/livepatches/lp5.c"], replace: true, funcs: { funcA: "lp5_funcA" } },
};
const TASKS = {
	worker: { calls: ["funcA", "funcB"] },
	kwork: { kthread: true, calls: ["funcB", "funcA"] },
	parked: { idle: true },
};
const NAMES = Object.keys(LIVEPATCHES);

/** The text of a scenario with these steps. */
export function scenarioText(units: readonly Unit[], title: string): string {
	const steps = [{ state: "start" }, ...units.flat()];
	return stringify({ title, cpus: 2, vmlinux: ["asm/vmlinux/funcs.c"], livepatches: LIVEPATCHES, tasks: TASKS, steps });
}

/** Makes `length` actions, and looks after each whether the transition is held up, or goes on by itself. */
export async function randomUnits(seed: bigint, length: number): Promise<Unit[]> {
	const units: Unit[] = [];
	const parse = (more: readonly Unit[]) => parseScenario(scenarioText(more, "random"), FILE);
	const start = parse([]);
	const options = { host: nodeHost(FILE) };
	const { machine, objects } = await createScenarioMachine(start, options);
	const run = new ScenarioRun(start, machine, objects, options, undefined);
	const dice = new Dice(seed);
	const make = (unit: Unit): ReportStep => {
		units.push(unit);
		return parse(units)
			.steps.slice(-unit.length)
			.map((step) => run.step(step))
			.at(-1)!;
	};
	try {
		while (units.length < length) {
			const last = make([...dice.action(), { sleep: 0.2 }]);
			if (machine.klp.inTransition !== undefined && !held(last, dice.asleep)) make(["settle"]);
		}
		for (const task of dice.asleep) make([{ wake: task }]);
		make(["settle"]);
		return units;
	} finally {
		machine.close();
	}
}

/** A task that sleeps inside a function has not switched, although it was looked at: nothing ends until it wakes up. */
function held({ tasks }: ReportStep, asleep: ReadonlySet<string>): boolean {
	return Object.entries(tasks).some(([name, task]) => task.pending && asleep.has(name) && task.in !== null);
}

class Dice {
	/** Tasks that sleep inside a function. */
	readonly asleep = new Set<string>();
	readonly #random: Random;
	#children = 0;

	constructor(seed: bigint) {
		this.#random = new Random(seed);
	}

	#pick<T>(list: readonly T[]): T {
		return list[this.#random.below(list.length)]!;
	}

	action(): RawStep[] {
		const chance = this.#random.below(100);
		const livepatch = this.#pick(NAMES);
		if (chance < 18) return this.#sleeper();
		if (chance < 30 && this.asleep.size > 0) {
			const task = this.#pick([...this.asleep]);
			this.asleep.delete(task);
			return [{ wake: task }, { exit: task }];
		}
		if (chance < 56) return [{ insmod: livepatch }];
		if (chance < 70) return [{ disable: livepatch }];
		if (chance < 76) return [{ enable: livepatch }];
		if (chance < 85) return ["reverse"];
		if (chance < 93) return [{ rmmod: livepatch }];
		if (chance < 95) return ["force"];
		return [{ fork: { parent: "worker", child: `child${++this.#children}`, calls: ["funcA", "funcB"] } }];
	}

	/** A new task each time: it falls asleep in the one run step in which nobody else can. */
	#sleeper(): RawStep[] {
		const child = `S${++this.#children}`;
		const func = this.#pick(["funcA", "funcB"]);
		const kthread = this.#random.below(3) === 0;
		this.asleep.add(child);
		return [
			{ fork: { parent: "worker", child, calls: [func], sleeps_in: func, ...(kthread && { kthread }) } },
			{ run: { task: child } },
		];
	}
}
