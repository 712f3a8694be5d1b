import { INVARIANTS, type Invariant } from "../consistency/index.js";
import { findDesign } from "../designs/index.js";
import {
	DesignAsks,
	type Exploration,
	exploreToShorten,
	Helper,
	type Move,
	type MoveObserver,
	minimise,
	missingPlaces,
	type Replayed,
	Replayer,
	type Schedule,
	type SearchOptions,
	storyParts,
	tellStory,
} from "../explore/index.js";
import type { Machine } from "../machine/index.js";
import { type Report, renderMarkdown, storyOf } from "../report/index.js";
import { withCore } from "./core-design.js";
import { fingerprintOf } from "./fingerprint.js";
import { createModel } from "./model.js";
import { expectedOf, type Judgement, judgeOutcomes, type StepOutcome } from "./outcomes.js";
import type { Recorder } from "./recorder.js";
import { replayReport } from "./replay-report.js";
import type { RunScenarioOptions } from "./run.js";
import type { Scenario } from "./scenario.js";
import { checkCore } from "./schedule-core.js";
import type { Verdict } from "./types.js";

export interface ExploreScenarioOptions extends SearchOptions {
	readonly scenario: Scenario;
	readonly machine: RunScenarioOptions;
}

export interface ExploredScenario {
	/** Name of the design. */
	readonly design: string;
	/** The kernel of a compiled core; undefined: the core in TypeScript. */
	readonly core: string | undefined;
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

/** Explores a scenario under one design, and shortens the schedules that it finds as far as possible. */
export async function exploreScenario(options: ExploreScenarioOptions): Promise<ExploredScenario> {
	const { scenario } = options;
	const machine = await withCore(scenario, options.machine);
	const asks = options.common && machine.core === undefined ? asksFor(scenario, machine) : undefined;
	const model = await createModel(scenario, machine, [], asks);
	try {
		const { exploration, rehearser } = await exploreToShorten(model, options);
		const {
			design: { name: design },
			compiledFrom: core,
		} = model.machine.klp;
		const steps = model.outcomes.list();
		const expected = expectedOf(scenario, design);
		const whole = options.shard === undefined && INVARIANTS.every((name) => options.invariants.has(name));
		const judgement = judgeOutcomes(exploration.result, expected, steps, whole);
		const found = { design, core, exploration, steps, expected, judgement };
		if (exploration.violations.length === 0) return { ...found, schedules: [] };
		const fingerprint = await fingerprintOf(scenario, machine.host.files);
		const own = machine.core && { core: machine.core.info.release, coreHash: machine.core.hash() };
		const header = { scenario: scenario.fileName, fingerprint, design, ...own };
		const watched = model.watched();
		const again = await createModel(scenario, machine, watched);
		try {
			const { points } = exploration;
			const replayer = new Replayer(again, points);
			const schedules = exploration.violations.map(({ broken, moves, outlook }) => ({
				...header,
				invariant: broken.invariant,
				message: broken.message,
				...(points.length > 0 && { points }),
				...(watched.length > 0 && { watched }),
				// What is known of what can follow its states is of this very schedule, which is a shortest one.
				moves: withPlaces(
					replayer,
					outlook === undefined ? minimise(rehearser, moves, broken.invariant) : moves,
					broken.invariant,
				),
			}));
			return { ...found, schedules };
		} finally {
			again.machine.close();
		}
	} finally {
		model.machine.close();
	}
}

function asksFor(scenario: Scenario, { design }: RunScenarioOptions): DesignAsks {
	return new DesignAsks(findDesign(design ?? scenario.design));
}

/** For another thread's exploration of the scenario: see {@link Helper}. `options`: the same as there. */
export async function createHelper(scenario: Scenario, options: RunScenarioOptions): Promise<Helper> {
	return new Helper(await createModel(scenario, await withCore(scenario, options)));
}

/** The moves, with the lines of C at which guest code stops. */
function withPlaces(replayer: Replayer, moves: readonly Move[], invariant: Invariant): Move[] {
	const replayed = replayer.replay(moves, new Set([invariant]));
	return replayed.map(({ move, points, places }) => {
		const place = points.at(-1) === move.label ? places.at(-1) : undefined;
		return place === undefined ? move : { ...move, place };
	});
}

/** Result of executing a schedule. */
export interface Replay {
	readonly moves: readonly Replayed[];
	/** The story in words. */
	readonly story: string;
	/** The same as Markdown. */
	readonly markdown: string;
	/** Each move as a step. */
	readonly report: Report;
}

/** Makes a schedule's moves on a machine of its own. Throws `SCHEDULE_STALE`, `REPLAY_IMPOSSIBLE`. */
export async function replaySchedule(
	scenario: Scenario,
	schedule: Schedule,
	options: Omit<RunScenarioOptions, "recorder"> & { readonly recorder?: Recorder | undefined },
): Promise<Replay> {
	const machine = await withCore(scenario, options);
	checkCore(schedule, machine.core, scenario);
	const model = await createModel(scenario, machine, schedule.watched);
	try {
		const replayer = new Replayer(model, schedule.points);
		const observer = machine.recorder && recordMoves(machine.recorder, model.machine);
		const moves = replayer.replay(schedule.moves, new Set([schedule.invariant]), observer);
		const { names, judged } = replayer.world;
		const parts = { scenario, schedule, machine: model.machine, functions: model.functions, names, judged };
		const report = replayReport(parts, moves);
		const story = tellStory(moves, model.functions, names);
		const notes = missingPlaces(model.machine);
		const told = { ...storyOf(report), ...storyParts(moves, model.functions, names), notes };
		return { moves, story, markdown: renderMarkdown(told), report };
	} finally {
		model.machine.close();
	}
}

/** Writes the moves of a replay into a timeline. */
function recordMoves(recorder: Recorder, machine: Machine): MoveObserver {
	let count = 0;
	return {
		start: () => recorder.attach(machine, { moves: true }),
		begin: ({ who }, title, task) => {
			const name = title === undefined ? who : `${who}: ${title}`;
			recorder.beginMove(task ?? machine.sched.current, name, { move: ++count });
		},
		point: (label) => recorder.point(label),
		end: ({ broken }) => {
			const violations = broken.map(({ invariant, message, task = null }) => ({ invariant, message, task }));
			for (const violation of violations) recorder.violation(violation);
			recorder.endStep(0, violations);
		},
	};
}
