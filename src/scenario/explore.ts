import { Hash } from "../base/index.js";
import { INVARIANTS } from "../consistency/index.js";
import {
	type Exploration,
	explore,
	minimise,
	type Replayed,
	Replayer,
	type Schedule,
	type SearchOptions,
	tellStory,
} from "../explore/index.js";
import { createModel } from "./model.js";
import { expectedOf, type Judgement, judgeOutcomes, type StepOutcome } from "./outcomes.js";
import type { RunScenarioOptions } from "./run.js";
import type { Scenario } from "./scenario.js";
import type { Verdict } from "./types.js";

export interface ExploreScenarioOptions extends SearchOptions {
	readonly scenario: Scenario;
	/** The scenario's text, for the fingerprint in schedules. */
	readonly text: string;
	readonly machine: RunScenarioOptions;
}

export interface ExploredScenario {
	readonly exploration: Exploration;
	/** One schedule for each violation, as short as possible. */
	readonly schedules: readonly Schedule[];
	/** The end of each step that the explorer makes. */
	readonly steps: readonly StepOutcome[];
	/** The verdict that the scenario expects. */
	readonly expected: Verdict;
	/** Comparison of all that with the scenario's expectations. */
	readonly judgement: Judgement;
}

/** Fingerprint of a scenario's text in a saved schedule. */
export function fingerprintOf(text: string): string {
	const hash = new Hash();
	hash.add(text);
	return hash.digest();
}

/** Explores a scenario under one design, and shortens the schedules that it finds as far as possible. */
export async function exploreScenario(options: ExploreScenarioOptions): Promise<ExploredScenario> {
	const { scenario, text, machine } = options;
	const model = await createModel(scenario, machine);
	try {
		const exploration = await explore(model, options);
		const { name: design } = model.machine.klp.design;
		const steps = model.outcomes.list();
		const expected = expectedOf(scenario, design);
		const whole = options.shard === undefined && INVARIANTS.every((name) => options.invariants.has(name));
		const judgement = judgeOutcomes(exploration.result, expected, steps, whole);
		const found = { exploration, steps, expected, judgement };
		const header = { scenario: scenario.fileName, fingerprint: fingerprintOf(text), design };
		if (exploration.violations.length === 0) return { ...found, schedules: [] };
		const again = await createModel(scenario, machine);
		try {
			const replayer = new Replayer(again);
			const schedules = exploration.violations.map(({ broken, moves }) => ({
				...header,
				invariant: broken.invariant,
				message: broken.message,
				moves: minimise(replayer, moves, broken.invariant),
			}));
			return { ...found, schedules };
		} finally {
			again.machine.close();
		}
	} finally {
		model.machine.close();
	}
}

/** Result of executing a schedule. */
export interface Replay {
	readonly moves: readonly Replayed[];
	/** The story in words. */
	readonly story: string;
}

/** Makes a schedule's moves on a machine of its own. Throws `REPLAY_IMPOSSIBLE`. */
export async function replaySchedule(
	scenario: Scenario,
	schedule: Schedule,
	machine: RunScenarioOptions,
): Promise<Replay> {
	const model = await createModel(scenario, machine);
	try {
		const replayer = new Replayer(model);
		const moves = replayer.replay(schedule.moves, new Set([schedule.invariant]));
		return { moves, story: tellStory(moves, model.functions, replayer.world.names) };
	} finally {
		model.machine.close();
	}
}
