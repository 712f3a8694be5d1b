/** What a snapshot of a machine holds: everything. */
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { describe, expect, test, vi } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { type Machine, restoreMachine, type SavedMachine, saveMachine } from "../../src/machine/index.js";
import { nodeHost } from "../../src/node/index.js";
import { parseScenario, runScenario } from "../../src/scenario/index.js";
import { difference, dumpMachine } from "../support/dump.js";

/** Called with each machine that is made. */
const watch = vi.hoisted(() => ({ booted: (_machine: Machine): void => {} }));
vi.mock(import("../../src/machine/index.js"), async (original) => {
	const real = await original();
	return {
		...real,
		async boot(options) {
			const machine = await real.boot(options);
			watch.booted(machine);
			return machine;
		},
	};
});

const ROUNDS = 50;
/** Rounds of a scenario before which its machine is saved. */
const POINTS: readonly number[] = [2, 25, 100];

/** A machine as it was saved, and what it was like then. */
interface Point {
	readonly saved: SavedMachine;
	readonly before: readonly string[];
}

/** Runs without anybody who watches: observers are no part of the machine. */
function unobserved<T>(machine: Machine, run: () => T): T {
	const { observers } = machine;
	const list = Reflect.get(observers, "list");
	Reflect.set(observers, "list", []);
	try {
		return run();
	} finally {
		Reflect.set(observers, "list", list);
	}
}

/** What a machine is like after some rounds from where it was saved. */
function replay(machine: Machine, saved: SavedMachine, round: () => void): readonly string[] {
	restoreMachine(machine, saved);
	for (let i = 0; i < ROUNDS; i++) round();
	return dumpMachine(machine);
}

/** Saves a machine at some rounds of its run, plays it forth and back, and lets it go on; at the end it goes back to each. */
class Trial {
	readonly points: Point[] = [];
	readonly differences: (string | undefined)[] = [];
	#rounds = 0;

	watch(machine: Machine): void {
		const round = machine.round.bind(machine);
		machine.round = () => {
			if (POINTS.includes(++this.#rounds) && !machine.busy) unobserved(machine, () => this.#save(machine, round));
			round();
		};
		const close = machine.close.bind(machine);
		machine.close = () => {
			if (!machine.busy) unobserved(machine, () => this.#goBack(machine));
			close();
		};
	}

	#save(machine: Machine, round: () => void): void {
		try {
			const saved = saveMachine(machine);
			// The caches are dropped before each dump, so that they do not differ.
			restoreMachine(machine, saved);
			this.points.push({ saved, before: dumpMachine(machine) });
			const after = replay(machine, saved, round);
			this.differences.push(difference(after, replay(machine, saved, round)));
			restoreMachine(machine, saved);
		} catch (error) {
			if (!(error instanceof KlpemuError) || error.code !== "SNAPSHOT_BUSY") throw error;
		}
	}

	#goBack(machine: Machine): void {
		for (const { saved, before } of this.points) {
			restoreMachine(machine, saved);
			this.differences.push(difference(before, dumpMachine(machine)));
		}
	}
}

/** Runs a scenario, and watches its machine if there is a trial. */
async function run(file: string, trial?: Trial) {
	watch.booted = (machine) => trial?.watch(machine);
	try {
		const scenario = parseScenario(await readFile(file, "utf8"), file);
		return await runScenario(scenario, { host: nodeHost(file) });
	} finally {
		watch.booted = () => {};
	}
}

const files = ["scenarios", "scenarios/family"].flatMap((folder) =>
	readdirSync(folder)
		.filter((name) => name.endsWith(".yaml"))
		.map((name) => `${folder}/${name}`),
);

describe("a machine that goes back to a snapshot", () => {
	test.each(files)("is what it was, and goes on as it did: %s", async (file) => {
		const trial = new Trial();
		const report = await run(file, trial);
		expect(trial.points.length).toBeGreaterThan(0);
		expect(trial.differences.filter((line) => line !== undefined)).toEqual([]);
		expect(report).toEqual(await run(file));
	});
});
