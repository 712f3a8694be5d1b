import { KlpemuError } from "../base/index.js";
import { errnoName, type Kernel } from "../linux/lib/index.js";
import { checkErrno } from "./expectation.js";
import { expectedErrno, expectedVerdict, type Scenario } from "./scenario.js";
import { definitionOf, type StepBase, type StepWorld } from "./steps/index.js";
import { type Verdict, whereOf } from "./types.js";

/** The ends of one step in all explored schedules. */
export interface StepOutcome {
	/** `step 3, insmod lp2`; steps count from 1, as in the reports of `run`. */
	readonly step: string;
	/** `file:line:column` */
	readonly where: string;
	/** The expected result, 0 or a negative errno. null: the step belongs to a race, in which the order decides. */
	readonly expected: number | null;
	/** Results that it also has in some schedules, as the scenario says. Older reports lack it. */
	readonly allowed?: readonly number[];
	/** The results that it had, each once; empty: it ended in no schedule. */
	readonly results: readonly number[];
	/** Other differences from the scenario, each once. */
	readonly failures: readonly string[];
}

/** Codes of errors that say that a step cannot be made. Others are faults of the kernel, or end the exploration. */
const OF_SCENARIO = /^(SCENARIO|STEP|TASK)_/;

/** The end of a step, by its place in the list: its result, or a failure. */
export type Noted = readonly [step: number, end: number | string];

/** Notes how the steps end that the explorer makes. What the explorer makes, some schedule leads to. */
export class Outcomes {
	readonly #scenario: Scenario;
	readonly #design: string;
	readonly #noted: { readonly outcome: StepOutcome; readonly results: Set<number>; readonly failures: Set<string> }[] =
		[];

	/** Undefined: nobody has asked for it. */
	#log: Noted[] | undefined = undefined;

	constructor(scenario: Scenario, design: string) {
		this.#scenario = scenario;
		this.#design = design;
	}

	/** What was noted since the last call. */
	take(): readonly Noted[] {
		const log = this.#log ?? [];
		this.#log = [];
		return log;
	}

	/** Notes what another model of the scenario has noted. */
	add(notes: readonly Noted[]): void {
		for (const [step, end] of notes) this.#note(step, end);
	}

	#note(step: number, end: number | string): void {
		this.#log?.push([step, end]);
		const { results, failures } = this.#noted[step]!;
		if (typeof end === "string") failures.add(end);
		else results.add(end);
	}

	/** Of each step that the explorer makes, in the order of the scenario. */
	list(): StepOutcome[] {
		return this.#noted.map(({ outcome, results, failures }) => ({
			...outcome,
			results: [...results].sort((a, b) => b - a),
			failures: [...failures].sort(),
		}));
	}

	/**
	 * The step's code; its end is recorded. `number`: of the entry of `steps` to which it belongs. `races`: it belongs
	 * to a race.
	 */
	watch(step: StepBase, number: number, races: boolean, world: StepWorld): () => Kernel<number> {
		const { title, run } = definitionOf(step);
		const expected = expectedErrno(step, this.#design);
		const allowed = this.#scenario.explore.mayFail.get(title(step));
		const outcome: StepOutcome = {
			step: `step ${number}, ${title(step)}`,
			where: whereOf(this.#scenario.fileName, step.position),
			expected: races ? null : expected,
			...(allowed !== undefined && { allowed }),
			results: [],
			failures: [],
		};
		const index = this.#noted.push({ outcome, results: new Set(), failures: new Set() }) - 1;
		const note = (end: number | string) => this.#note(index, end);
		const own = { ...world, fail: note };
		return function* () {
			try {
				const result = yield* run(step, own);
				note(result);
				return result;
			} catch (error) {
				if (!(error instanceof KlpemuError) || !OF_SCENARIO.test(error.code)) throw error;
				// As in `run`: a step that cannot be made fails, and the others go on.
				note(error.hint === undefined ? error.reason : `${error.reason} (${error.hint})`);
				return expected;
			}
		};
	}
}

/**
 * Tells if the results of a search are as the scenario expects (undefined: not known), and the differences, in
 * sentences.
 */
export interface Judgement {
	readonly asExpected: boolean | undefined;
	readonly failures: readonly string[];
}

/** The default is `consistent`, as in `run`. */
export function expectedOf(scenario: Scenario, design: string): Verdict {
	const own = scenario.explore.expect;
	return own?.byDesign.get(design) ?? own?.default ?? expectedVerdict(scenario, design) ?? "consistent";
}

/**
 * Compares the results of the explorer with the expectations of the scenario. `whole`: the search has visited every
 * state, and checked every invariant.
 */
export function judgeOutcomes(
	result: "complete" | "bounded" | "violated",
	expected: Verdict,
	steps: readonly StepOutcome[],
	whole: boolean,
): Judgement {
	const failures = steps.flatMap((step) => failuresOf(step, result === "complete" && whole));
	if (failures.length > 0) return { asExpected: false, failures };
	if (result === "violated") return { asExpected: expected === "violated", failures };
	return { asExpected: result === "complete" && whole ? expected === "consistent" : undefined, failures };
}

function failuresOf(
	{ step, where, expected, allowed = [], results, failures }: StepOutcome,
	complete: boolean,
): string[] {
	const tell = (message: string) => `${step} (${where}): ${message}`;
	const told = failures.map(tell);
	const names = results.map((result) => errnoName(result)).join(", ");
	if (results.length === 0) return complete && told.length === 0 ? [tell("no schedule comes to its end")] : told;
	if (expected === null) {
		const isAllowed = results.every((result) => allowed.includes(result));
		return complete && !results.includes(0) && !isAllowed
			? [...told, tell(`the result is ${names} in every schedule`)]
			: told;
	}
	const others = results.filter((result) => result !== expected && !allowed.includes(result));
	const often = results.includes(expected) ? " in some schedules" : "";
	return [...told, ...others.map((result) => tell(`${checkErrno(result, expected)}${often}`))];
}
