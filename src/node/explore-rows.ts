import * as v from "valibot";
import { formatSchedule, type Outlook } from "../explore/index.js";
import { type ExploredScenario, type StepOutcome, VERDICTS } from "../scenario/index.js";

/** One line of the table. A design with several broken invariants has several. */
export interface ExploreRow {
	readonly design: string;
	/** The kernel of a compiled core. */
	readonly core?: string | undefined;
	/** `refused`: the scenario's livepatches have keys that the design does not support. Only with --all-designs. */
	readonly result: "complete" | "bounded" | "violated" | "refused";
	readonly invariant: string | null;
	readonly message: string | null;
	/** Why a bounded search has not seen all states, if it is not for lack of states or time. */
	readonly reason?: string | undefined;
	/** Moves of the shortest schedule. */
	readonly scheduleLength: number | null;
	readonly states: number;
	readonly transitions: number;
	readonly depth: number;
	readonly seconds: number;
	/** The verdict that the scenario expects. Older reports lack this and the next three. */
	readonly expected?: "consistent" | "violated";
	/** True if verdict and steps are as the scenario expects; null: not known, because the search was not complete. */
	readonly asExpected?: boolean | null;
	/** The differences, in sentences. */
	readonly failures?: readonly string[];
	/** The end of each step. */
	readonly steps?: readonly StepOutcome[];
	/** The schedule, as text that `klpemu replay` reads. */
	readonly schedule: string | null;
	/**
	 * With --inevitable: `after` so many moves of the schedule every continuation breaks the invariant; `shares`: by number of moves made, the
	 * probability that it is broken if each possible move is as likely as the others, known to `error`; `states` were looked at. Or why that is unknown.
	 */
	readonly inevitable?: Outlook | undefined;
	/** File in which it was saved. */
	readonly file?: string;
	/** Of a shard: fingerprints of the visited states, with the number of moves from each. */
	readonly visited?: Readonly<Record<string, number>> | undefined;
}

/** The rows of one design: one for each broken invariant, or one. `seconds`: the time that it took. */
export function rowsOf(
	{ design, core, exploration, schedules, steps, expected, judgement }: ExploredScenario,
	seconds: number,
): ExploreRow[] {
	const { result, states, transitions, depth, visited, reason } = exploration;
	return (schedules.length === 0 ? [undefined] : schedules).map((schedule, index) => ({
		design,
		core,
		result,
		invariant: schedule?.invariant ?? null,
		message: schedule?.message ?? null,
		scheduleLength: schedule?.moves.length ?? null,
		states,
		transitions,
		depth,
		seconds,
		expected,
		asExpected: judgement.asExpected ?? null,
		failures: judgement.failures,
		steps,
		schedule: schedule === undefined ? null : formatSchedule(schedule),
		inevitable: exploration.violations[index]?.outlook,
		reason,
		visited: visited && Object.fromEntries(visited),
	}));
}

/** `why`: the reason why this design refuses the scenario's livepatches. */
export function refusedRow(design: string, why: string): ExploreRow {
	const nothing = { invariant: null, message: null, scheduleLength: null, schedule: null };
	const counts = { states: 0, transitions: 0, depth: 0, seconds: 0 };
	return { design, result: "refused", ...nothing, ...counts, asExpected: false, failures: [why] };
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const text = v.nullable(v.string());
/** Millions of entries: one loop is quicker than a schema for each. */
const visited = v.custom<Readonly<Record<string, number>>>(
	(value) =>
		typeof value === "object" &&
		value !== null &&
		Object.values(value).every((moves) => Number.isSafeInteger(moves) && moves >= 0),
	"Invalid numbers of moves",
);

const STEP = v.object({
	step: v.string(),
	where: v.string(),
	expected: v.nullable(v.pipe(v.number(), v.safeInteger())),
	allowed: v.exactOptional(v.array(v.pipe(v.number(), v.safeInteger()))),
	results: v.array(v.pipe(v.number(), v.safeInteger())),
	failures: v.array(v.string()),
});

/** A row from elsewhere; keys that are added later are ignored. */
export const rowSchema: v.GenericSchema<unknown, ExploreRow> = v.object({
	design: v.string(),
	core: v.exactOptional(v.string()),
	result: v.picklist(["complete", "bounded", "violated", "refused"]),
	invariant: text,
	message: text,
	scheduleLength: v.nullable(count),
	states: count,
	transitions: count,
	depth: count,
	seconds: v.pipe(v.number(), v.finite(), v.minValue(0)),
	expected: v.exactOptional(v.picklist(VERDICTS)),
	reason: v.exactOptional(v.string()),
	asExpected: v.exactOptional(v.nullable(v.boolean())),
	failures: v.exactOptional(v.array(v.string())),
	steps: v.exactOptional(v.array(STEP)),
	schedule: text,
	inevitable: v.exactOptional(
		v.union([
			v.object({ states: count, after: count, shares: v.array(v.number()), error: v.number() }),
			v.object({ unknown: v.string() }),
		]),
	),
	file: v.exactOptional(v.string()),
	visited: v.exactOptional(visited),
});
