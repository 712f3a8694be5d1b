import type { Machine } from "../../machine/index.js";
import type { Report, ReportStep } from "../../report/index.js";
import {
	beginOn,
	createScenarioMachine,
	describeStep,
	type RunScenarioOptions,
	runScenario,
	type Scenario,
	type ScenarioRun,
	type Step,
} from "../../scenario/index.js";
import type { Transcript } from "./transcript.js";

/** A step as it was made, with its result. */
export interface MadeStep {
	readonly step: Step;
	readonly errno: number;
}

/** The emulated kernel's side of a comparison. */
export interface PacedRun {
	/** One entry for each step of the scenario. */
	readonly report: Report;
	/** The actions: a race is its lists, one after the other, as a kit makes it. Without the waits. */
	readonly made: readonly MadeStep[];
	/** The steps, with the waits, up to and with this one of the scenario (from 1). */
	upTo(index: number): readonly Step[];
	/** How often it had to wait, until a transition ended as the real one had. */
	readonly waits: number;
}

const ENDED = /^livepatch: '\w+': (un)?patching complete$/;
/** Seconds, in steps. */
const WAIT = { seconds: 3, every: 0.1 };

/** Runs the scenario; for a transcript of a kit in the order that the kit made, with the transitions that had ended before each action. */
export async function runAtPace(
	scenario: Scenario,
	transcript: Transcript,
	options: RunScenarioOptions,
): Promise<PacedRun> {
	if (!transcript.kit || scenario.selftest !== undefined) {
		const report = await runScenario(scenario, options);
		const made = report.steps.map(({ index, errno }) => ({ step: scenario.steps[index - 1]!, errno }));
		return { report, made, upTo: (index) => scenario.steps.slice(0, index), waits: 0 };
	}
	const { machine, objects } = await createScenarioMachine(scenario, options);
	try {
		return new Pace(machine, await beginOn(machine, objects, scenario, options), transcript).run(scenario);
	} finally {
		machine.close();
	}
}

class Pace {
	readonly #machine: Machine;
	readonly #run: ScenarioRun;
	readonly #ended: ReadonlyMap<number, readonly number[]>;
	readonly #steps: Step[] = [];
	#waits = 0;

	constructor(machine: Machine, run: ScenarioRun, transcript: Transcript) {
		this.#machine = machine;
		this.#run = run;
		this.#ended = endedBefore(transcript);
	}

	run({ steps }: Scenario): PacedRun {
		const [entries, made, ends]: [ReportStep[], MadeStep[], number[]] = [[], [], []];
		for (const [i, step] of steps.entries()) {
			const parts = partsOf(step);
			const counts = this.#ended.get(i + 1) ?? [];
			const results = parts.map((part, j) => {
				// A step of a race is one command; some steps are none.
				const ended = parts.length === 1 ? counts[0] : counts.length === parts.length + 1 ? counts[j + 1] : 0;
				this.#wait(part, ended ?? 0);
				return this.#make(part);
			});
			made.push(...parts.map((part, j) => ({ step: part, errno: results[j]!.errno })));
			ends.push(this.#steps.length);
			entries.push({ ...results.at(-1)!, index: i + 1, action: describeStep(step) });
		}
		const upTo = (index: number) => this.#steps.slice(0, ends[index - 1]);
		const report = { ...this.#run.report(), steps: entries };
		return { report, made, upTo, waits: this.#waits };
	}

	#make(step: Step): ReportStep {
		this.#steps.push(step);
		return this.#run.step(step);
	}

	/** Until as many transitions have ended as on the real kernel; where none ends within 3 s, the states after it differ. */
	#wait(step: Step, ended: number): void {
		const isBefore = () => {
			const count = this.#machine.dmesg.lines().filter((line) => ENDED.test(line)).length;
			return count < ended && this.#machine.klp.inTransition !== undefined;
		};
		if (!isBefore() || step.kind === "settle") return;
		this.#waits++;
		const { seconds, every } = WAIT;
		const wait: Step = { kind: "sleep", seconds: every, position: step.position, errno: 0, errnoByDesign: new Map() };
		for (let waited = 0; waited < seconds && isBefore(); waited += every) this.#make(wait);
		// The work that frees what is replaced is still to come.
		this.#make(wait);
	}
}

/** A race is its lists, one after the other. */
function partsOf(step: Step): readonly Step[] {
	return step.kind === "race" ? (step.actors.flat() as Step[]) : [step];
}

/** Step -> how many transitions had ended before it began, and before each of its commands. */
function endedBefore({ events }: Transcript): ReadonlyMap<number, readonly number[]> {
	const steps = new Map<number, number[]>();
	let counts: number[] = [];
	let ended = 0;
	for (const event of events) {
		if (event.kind === "dmesg" && ENDED.test(event.line)) ended++;
		else if (event.kind === "command") counts.push(ended);
		else if (event.kind === "heading") {
			counts = [ended];
			const step = /^step (\d+):/.exec(event.title)?.[1];
			if (step !== undefined) steps.set(Number(step), counts);
		}
	}
	return steps;
}
