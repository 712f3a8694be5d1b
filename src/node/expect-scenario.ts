import { readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { KlpemuError } from "../base/index.js";
import { INVARIANTS, type Invariant } from "../consistency/index.js";
import { designs } from "../designs/index.js";
import { isEndless, parseSchedule } from "../explore/index.js";
import { type Report, renderReport } from "../report/index.js";
import {
	expectedVerdict,
	exploreScenario,
	parseScenario,
	replaySchedule,
	runScenario,
	type Scenario,
} from "../scenario/index.js";
import { readText } from "./files.js";
import { nodeHost } from "./host.js";
import { saveSchedule, schedulePrefix } from "./schedules.js";

export interface ScenarioOptions {
	/** Default: the scenario's. */
	readonly design?: string;
	readonly cpu?: string;
	/** Of the one schedule that is run. */
	readonly seed?: bigint | number;
	/**
	 * Checks every schedule, not only the one of `seed`. A schedule that breaks an invariant is saved in `schedules`, and made
	 * first at the next time. A search that does not end within `budget` fails.
	 */
	readonly everySchedule?: boolean;
	/** States; default 1,000,000. */
	readonly budget?: number;
	/** The folder for failing schedules; default: `__schedules__` beside the test file. */
	readonly schedules?: string;
}

/** What can be expected of a scenario. Each throws an error with the report, or the story of the schedule. */
export interface ScenarioExpectation {
	/** No invariant is broken, and each step ends as the file says. The verdict that the file expects plays no part. */
	toBeConsistent(): Promise<void>;
	/** An invariant is broken: this one, if one is given. */
	toBeViolated(invariant?: Invariant): Promise<void>;
	/** Verdict and steps are what the file expects. */
	toEndAsExpected(): Promise<void>;
}

/** Runs a scenario file, or explores it. `file`: relative to the current folder. */
export function expectScenario(file: string, options: ScenarioOptions = {}): ScenarioExpectation {
	const judged = async (wanted: (found: Judged) => string | undefined) => {
		const found = await judge(file, options);
		const problem = wanted(found);
		if (problem !== undefined) throw new Error(`${file}: ${problem}\n\n${found.text}`);
	};
	return {
		toBeConsistent: () =>
			judged(({ broken, failures }) => (broken.length > 0 ? `violated: ${broken.join(", ")}` : failures[0])),
		toBeViolated: (invariant) =>
			judged(({ broken }) => {
				if (invariant === undefined ? broken.length > 0 : broken.includes(invariant)) return undefined;
				return `${invariant ?? "no invariant"} is${invariant === undefined ? "" : " not"} broken`;
			}),
		toEndAsExpected: () =>
			judged(({ asExpected, failures }) =>
				asExpected ? undefined : (failures[0] ?? "the verdict is not what the file expects"),
			),
	};
}

interface Judged {
	/** Invariants. */
	readonly broken: readonly Invariant[];
	/** Steps that did not end as the file says; a search that did not end. */
	readonly failures: readonly string[];
	readonly asExpected: boolean;
	/** The report, or the stories of the schedules. */
	readonly text: string;
}

async function judge(file: string, options: ScenarioOptions): Promise<Judged> {
	const scenario = parseScenario(await readText(file), file, { designs: designs.map(({ name }) => name) });
	if (options.everySchedule) return judgeAll(scenario, options);
	return judgeRun(await runScenario(scenario, machineOf(scenario, options)));
}

function machineOf(scenario: Scenario, { design, cpu, seed }: ScenarioOptions) {
	return { host: nodeHost(scenario.fileName), design: design ?? scenario.design, cpu, seed };
}

function judgeRun(report: Report): Judged {
	return {
		broken: [...new Set(report.violations.map(({ invariant }) => invariant))],
		failures: report.failures.map(({ message, where }) => `${message} (${where})`),
		asExpected: report.asExpected,
		text: renderReport(report),
	};
}

async function judgeAll(scenario: Scenario, options: ScenarioOptions): Promise<Judged> {
	const machine = machineOf(scenario, options);
	const folder = options.schedules ?? join(dirname(expect.getState().testPath ?? "."), "__schedules__");
	const saved = await savedSchedules(folder, schedulePrefix(scenario.fileName, machine.design));
	for (const path of saved) {
		const again = await replaySaved(scenario, path, machine);
		if (again !== undefined) return again;
	}
	const { exploration, schedules, judgement } = await exploreScenario({
		...{ scenario, machine, budget: options.budget ?? 1_000_000, invariants: new Set(INVARIANTS), all: false },
		...{ reduction: true, shard: undefined },
	});
	const { result, states } = exploration;
	// What is still broken is saved again.
	for (const path of saved) await rm(path, { force: true });
	const stories: string[] = [];
	for (const schedule of schedules) {
		const path = await saveSchedule(folder, schedule);
		const { story } = await replaySchedule(scenario, schedule, machine);
		stories.push(`${schedule.invariant}: ${schedule.message}\nsaved in ${path}\n\n${story}`);
	}
	const bounded = `not all schedules were seen: ${states} states are not enough`;
	const unfinished = result === "bounded" ? [bounded] : [];
	return {
		broken: schedules.map(({ invariant }) => invariant),
		failures: [...judgement.failures, ...unfinished],
		asExpected: judgement.asExpected === true,
		text: stories.length > 0 ? stories.join("\n") : `${states} states: ${result}`,
	};
}

async function savedSchedules(folder: string, prefix: string): Promise<string[]> {
	const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
		if (error.code === "ENOENT") return [];
		throw error;
	});
	return names
		.filter((name) => name.startsWith(prefix) && name.endsWith(".schedule"))
		.map((name) => join(folder, name));
}

/** Makes a saved schedule's moves; undefined: it breaks nothing any more, or is of a scenario that was changed since. */
async function replaySaved(
	scenario: Scenario,
	path: string,
	machine: ReturnType<typeof machineOf>,
): Promise<Judged | undefined> {
	try {
		const schedule = parseSchedule(await readText(path), path);
		if (isEndless(schedule.invariant)) return undefined;
		const { moves, story } = await replaySchedule(scenario, schedule, machine);
		const broken = moves.at(-1)?.broken ?? [];
		if (broken.length === 0) return undefined;
		const text = `${broken[0]!.invariant}: ${broken[0]!.message}\nsaved in ${path}\n\n${story}`;
		const asExpected = expectedVerdict(scenario, machine.design) === "violated";
		return { broken: broken.map(({ invariant }) => invariant), failures: [], asExpected, text };
	} catch (error) {
		if (error instanceof KlpemuError) return undefined;
		throw error;
	}
}
