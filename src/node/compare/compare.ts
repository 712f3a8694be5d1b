import { groupBy, KlpemuError } from "../../base/index.js";
import { type Report, type ReportStep, unifiedDiff } from "../../report/index.js";
import { filterDmesg, type RunScenarioOptions, runScenario, type Scenario, type Step } from "../../scenario/index.js";
import { emulatedResults, recordedResults, sameResult } from "./commands.js";
import { didYouMean, emulatedFacts, type Facts, functionNames, type Names, recordedFacts, sameFact } from "./facts.js";
import { type PacedRun, runAtPace } from "./pace.js";
import {
	hasAll,
	inTransition,
	isBehind,
	isUnswitched,
	isView,
	type Moment,
	mayBeChance,
	momentOf,
	type Timing,
} from "./timing.js";
import type { Transcript, TranscriptState } from "./transcript.js";
import { valuesOf } from "./values.js";

/** A disagreement. */
export interface Difference {
	/** The step or state at which it is. */
	readonly at: string;
	readonly message: string;
}

/** A fact that differs from run to run. */
export interface Forgiven extends Difference {
	readonly kind: Timing;
}

export interface Comparison {
	readonly differences: readonly Difference[];
	readonly timing: ReadonlyMap<Timing, number>;
	/** Facts that differ by timing only. */
	readonly forgiven: readonly Forgiven[];
	/** How much was compared. */
	readonly states: number;
	readonly facts: number;
	readonly commands: number;
	readonly lines: number;
	/** Lines of the recorder that are no step, state or command. */
	readonly notes: readonly string[];
}

const RETRY = /^livepatch: klp_try_switch_task: /;
const SIGNAL = /^livepatch: signaling remaining tasks/;
const DEBUG = /^livepatch: '\w+': (initializing|completing|canceling) /;
/** Seconds that a real kernel may be further than the emulated one, and the steps in which they are looked at. */
const LATER = { seconds: 3, every: 0.02 };
/** The same under other seeds. */
const OTHERWISE = { seconds: 3, every: 0.25 };

/** What a moment is compared with. */
interface Where {
	readonly state: TranscriptState;
	readonly step: ReportStep;
	readonly here: Facts;
	/** What the emulated kernel comes to. */
	later(): Promise<readonly Facts[]>;
}

/** Steps by which the real kernel may be behind. */
const STEPS_BEHIND = 4;
/** Seeds of the emulated kernel's schedule that are tried for a fact. */
const SEEDS = 8;

/** Compares one scenario on two machines. Throws `COMPARE_OTHER_SCENARIO`, and the errors of a scenario. */
export async function compareTranscript(
	scenario: Scenario,
	transcript: Transcript,
	options: RunScenarioOptions,
): Promise<Comparison> {
	const paced = await runAtPace(scenario, transcript, { ...options, stopAtFailure: false });
	const comparer = new Comparer(scenario, transcript, paced, options);
	await comparer.run();
	return comparer.result();
}

class Comparer {
	readonly #scenario: Scenario;
	readonly #transcript: Transcript;
	readonly #paced: PacedRun;
	readonly #report: Report;
	readonly #options: RunScenarioOptions;
	readonly #names: Names;
	readonly #differences: Difference[] = [];
	readonly #timing = new Map<Timing, number>();
	readonly #forgiven: Forgiven[] = [];
	/** Tasks that had not switched yet at the state before. */
	#lagging: ReadonlySet<string> = new Set();
	/** What comes after a step under another seed. */
	readonly #others = new Map<string, readonly Facts[]>();
	readonly #count = { states: 0, facts: 0, commands: 0, lines: 0 };

	constructor(scenario: Scenario, transcript: Transcript, paced: PacedRun, options: RunScenarioOptions) {
		const { report } = paced;
		this.#scenario = scenario;
		this.#transcript = transcript;
		this.#paced = paced;
		this.#report = report;
		this.#options = options;
		const modules = new Set([...scenario.modules.keys(), ...scenario.livepatches.keys()]);
		const functions = [
			...new Set(report.steps.flatMap(({ tasks }) => Object.values(tasks).flatMap(({ view }) => Object.keys(view)))),
		];
		this.#names = {
			objectOf: (object) => (scenario.modules.has(object) ? object : "vmlinux"),
			modules,
			tasks: new Set(report.steps.flatMap(({ tasks }) => Object.keys(tasks))),
			hasOps: scenario.ops.size > 0,
			functionOf: functionNames(functions),
		};
	}

	async run(): Promise<void> {
		this.#forgive("ended", this.#paced.waits);
		const { events, complete, kit } = this.#transcript;
		const states = events.filter((event) => event.kind === "state");
		if (this.#scenario.selftest !== undefined) return this.#selftest();
		const pairs = this.#pairs(states);
		for (const [state, step] of pairs) await this.#state(state, step);
		this.#commands();
		this.#values();
		this.#dmesg();
		if (!complete)
			this.#differ("end", `the transcript has no END: ${kit ? "run.sh" : "the recorder"} did not come to its end`);
	}

	result(): Comparison {
		const notes = this.#transcript.events.flatMap((event) => (event.kind === "note" ? [event.line] : []));
		return { differences: this.#differences, timing: this.#timing, forgiven: this.#forgiven, ...this.#count, notes };
	}

	#differ(at: string, message: string): void {
		this.#differences.push({ at, message });
	}

	#forgive(kind: Timing, count = 1): void {
		if (count > 0) this.#timing.set(kind, (this.#timing.get(kind) ?? 0) + count);
	}

	/** Each recorded state with the step of the report that it belongs to. */
	#pairs(states: readonly TranscriptState[]): [TranscriptState, ReportStep][] {
		const titles = this.#scenario.steps.flatMap((step) => (step.kind === "state" ? [step.title] : []));
		const pairs: [TranscriptState, ReportStep][] = [];
		let from = 0;
		for (const state of states) {
			const numbered = this.#transcript.kit ? /^step (\d+): (.*)$/.exec(state.title) : null;
			const steps = this.#report.steps;
			const step =
				numbered === null
					? steps.find(({ action, index }) => index > from && action === `state: ${state.title}`)
					: steps.find(({ index, action }) => index === Number(numbered[1]) && action === numbered[2]);
			if (step === undefined) this.#unknown(state, titles);
			else {
				from = step.index;
				pairs.push([state, step]);
			}
		}
		if (states.length > 0 && pairs.length === 0) throw otherScenario(this.#scenario, states, titles);
		const seen = new Set(pairs.map(([, { index }]) => index));
		for (const { index, action } of this.#report.steps) {
			const expected = action.startsWith("state: ") || (this.#transcript.kit && !/^(expect|test)\b/.test(action));
			if (states.length > 0 && expected && !seen.has(index)) this.#differ(action, "the transcript has no such state");
		}
		return pairs;
	}

	#unknown(state: TranscriptState, titles: readonly string[]): void {
		// Before the first step, and after the last one, a recorder may say more.
		this.#differ(state.title, `the scenario has no such step${didYouMean(state.title, titles)}`);
	}

	async #state(state: TranscriptState, step: ReportStep): Promise<void> {
		this.#count.states++;
		const here = emulatedFacts(step);
		const recorded = new Map(
			[...recordedFacts(state, this.#names)].filter(([name, real]) => !isNotYet(name, real, here)),
		);
		this.#count.facts += recorded.size;
		const moments = groupBy(recorded, ([name]) => momentOf(name));
		const isWrong = ([name, real]: Moment[number]) => !sameFact(name, real, here.get(name));
		const later = once(() => this.#later(step));
		for (const moment of moments.values()) {
			const wrong = moment.filter(isWrong);
			if (wrong.length > 0) await this.#moment(moment, wrong, { state, step, here, later });
		}
		const unswitched = Object.entries(state.tasks).filter(([, task]) => isUnswitched(task, state));
		this.#lagging = new Set(unswitched.map(([name]) => name));
		const missing = this.#transcript.kit
			? Object.keys(step.tasks).filter((task) => state.tasks[task] === undefined)
			: [];
		for (const task of missing) {
			if ((await later()).some((facts) => !facts.has(`${task}: pending`))) this.#forgive("later");
			else this.#differ(state.title, `task ${task}: on the real kernel it does not exist`);
		}
	}

	/** Facts of one moment, of which some are wrong: all of them are timing of one kind, or the wrong ones differ. */
	async #moment(moment: Moment, wrong: Moment, where: Where): Promise<void> {
		const kind = await this.#kindOf(moment, where);
		for (const [name, real] of wrong) {
			const message = `${name}: here ${where.here.get(name) ?? "(nothing)"}, on the real kernel ${real}`;
			if (kind === undefined) this.#differ(where.state.title, message);
			else {
				this.#forgive(kind);
				this.#forgiven.push({ at: where.state.title, message, kind });
			}
		}
	}

	async #kindOf(moment: Moment, { state, step, here, later }: Where): Promise<Timing | undefined> {
		const [name, real] = moment[0]!;
		const [taskName, what] = name.split(": ") as [string, string | undefined];
		const task = state.tasks[taskName];
		if (step.action !== "settle" && this.#unswitched(moment, state, step)) return "unswitched";
		const looks = await later();
		if (looks.some((look) => hasAll(moment, here, look))) {
			// Parked by the recorder; here it is on its way through a function.
			return what === "in" && real === "(none)" && task?.in === null ? "running" : "later";
		}
		if (step.action !== "settle" && isBehind(state) && this.#wasThere(moment, state, step)) return "behind";
		if (moment.some(([one, value]) => mayBeChance(one, value, here, state)) && (await this.#isOtherwise(moment, step)))
			return "otherwise";
		return undefined;
	}

	/** A task that has not switched yet: its patch_state is the one before, and so is what it ran when it was asked, a little earlier. */
	#unswitched(moment: Moment, state: TranscriptState, { index }: ReportStep): boolean {
		const [name, real] = moment[0]!;
		const task = name.split(": ")[0]!;
		const unswitched = isUnswitched(state.tasks[task], state);
		if (name.endsWith("/patch_state")) return unswitched && real === state.tasks[task]!.patch_state;
		if (!isView(name)) return unswitched && !name.endsWith(": in");
		return (unswitched || this.#lagging.has(task)) && this.#before(index).some((look) => hasAll(moment, look, look));
	}

	/** The looks at the emulated kernel after the steps before this one. */
	#before(index: number): Facts[] {
		return this.#report.steps.slice(Math.max(0, index - 1 - STEPS_BEHIND), index - 1).map(emulatedFacts);
	}

	/** The states that the emulated kernel comes to after a step. */
	async #later(step: ReportStep, { seconds, every } = LATER, seed?: number): Promise<Facts[]> {
		const { position } = this.#scenario.steps[step.index - 1]!;
		const wait: Step = { kind: "sleep", seconds: every, position, errno: 0, errnoByDesign: new Map() };
		const made = this.#paced.upTo(step.index);
		const steps = [...made, ...Array<Step>(seconds / every).fill(wait)];
		const options = { ...this.#options, stopAtFailure: false, ...(seed !== undefined && { seed }) };
		const report = await runScenario({ ...this.#scenario, steps }, options);
		return report.steps.slice(made.length - 1).map(emulatedFacts);
	}

	/** The emulated kernel was there at one of the last steps, while this transition was open, or has come through it since. */
	#wasThere(moment: Moment, state: TranscriptState, { index }: ReportStep): boolean {
		const now = emulatedFacts(this.#report.steps[index - 1]!);
		const open = `${inTransition(state)}/transition`;
		const looks = this.#before(index).filter((facts) => facts.get(open) === "1");
		return looks.some((look) => hasAll(moment, look, look) || hasAll(moment, look, now));
	}

	/** The same scenario on another schedule has this at this step, or comes to it. */
	async #isOtherwise(moment: Moment, step: ReportStep): Promise<boolean> {
		for (let seed = 1; seed <= SEEDS; seed++) {
			const key = `${step.index} ${seed}`;
			const facts = this.#others.get(key) ?? (await this.#later(step, OTHERWISE, seed));
			this.#others.set(key, facts);
			if (facts.some((one) => hasAll(moment, facts[0]!, one))) return true;
		}
		return false;
	}

	/** Commands on modules, files and ftrace_ops, in order, with their results. */
	#commands(): void {
		const real = recordedResults(this.#transcript, this.#names.modules);
		// A record by hand has no ftrace_ops.
		const leftOut = new Set(this.#transcript.kit ? [] : this.#scenario.ops.keys());
		const here = emulatedResults(this.#paced.made, leftOut);
		if (real.length === 0) return;
		this.#count.commands = real.length;
		for (let i = 0; i < Math.max(real.length, here.length); i++) {
			const [ours, theirs] = [here[i], real[i]];
			if (ours !== undefined && theirs !== undefined && sameResult(ours, theirs)) continue;
			this.#differ(`command ${i + 1}`, `here '${ours ?? "(none)"}', on the real kernel '${theirs ?? "(none)"}'`);
			// After an insertion all others would differ too.
			if (ours === undefined || theirs === undefined || ours.replace(/ \S+$/, "") !== theirs.replace(/ \S+$/, ""))
				break;
		}
	}

	/** What the scenario says that a step returns or reads: the emulated kernel is held to it by the run itself. */
	#values(): void {
		const found = valuesOf(this.#scenario, this.#transcript);
		this.#count.facts += found.length;
		for (const { at, what, expected, real } of found)
			if (real !== expected) this.#differ(at, `${what}: the scenario says ${expected}, the real kernel ${real}`);
	}

	/** The lines of livepatch and of the scenario's modules, in order. */
	#dmesg(): void {
		const lines = this.#transcript.events.flatMap((event) => (event.kind === "dmesg" ? [event.line] : []));
		const debug = lines.some((line) => DEBUG.test(line));
		const real = this.#kept(
			lines.map((line) => this.#asVmlinux(line)),
			debug,
			true,
		);
		const here = this.#kept([...this.#report.dmesg], debug, false);
		if (lines.length === 0) return;
		this.#count.lines = real.length;
		const diff = unifiedDiff(here, real, { a: "emulated", b: "real" });
		if (diff !== undefined) this.#differ("dmesg", `the lines are not the same:\n${diff}`);
	}

	#kept(lines: readonly string[], debug: boolean, counts: boolean): string[] {
		const names = [...this.#names.modules].map((name) => `${name}: `);
		return lines.filter((line) => {
			if (/^livepatch: oracle:|taint|module verification failed|klpkit/.test(line)) return false;
			if (RETRY.test(line) || SIGNAL.test(line)) {
				if (counts) this.#forgive(RETRY.test(line) ? "retries" : "signals");
				return false;
			}
			if (!debug && DEBUG.test(line)) {
				this.#forgive("debug");
				return false;
			}
			return line.startsWith("livepatch: ") || names.some((name) => line.startsWith(name));
		});
	}

	/** A line that names the module which is the scenario's vmlinux on the real kernel. */
	#asVmlinux(line: string): string {
		return line.replaceAll("klp_target", "vmlinux");
	}

	/** A log of a selftest script: the lines that check_result() of functions.sh compares. */
	#selftest(): void {
		const lines = this.#transcript.events.flatMap((event) => (event.kind === "dmesg" ? [event.line] : []));
		const first = lines.findIndex((line) => line.startsWith("===== TEST"));
		const of = (all: readonly string[]) =>
			all.flatMap((line) => (line.startsWith("===== TEST") ? [line] : filterDmesg([line])));
		const real = of(lines.slice(Math.max(first, 0)).filter((line) => !line.startsWith("OUT|")));
		const start = this.#report.dmesg.findIndex((line) => line.startsWith("===== TEST"));
		const here = of(this.#report.dmesg.slice(Math.max(start, 0)));
		if (real.length === 0) throw otherScenario(this.#scenario, [], []);
		this.#count.lines = real.length;
		const tests = here.some((line) => line.startsWith("====="))
			? real
			: real.filter((line) => !line.startsWith("====="));
		const diff = unifiedDiff(here, tests, { a: "emulated", b: "real" });
		if (diff !== undefined) this.#differ("dmesg", `the lines are not the same:\n${diff}`);
	}
}

/**
 * What a livepatch in C patches is known to the emulated kernel's report once it enables itself, to a kit at once: until then, everybody runs
 * the original.
 */
function isNotYet(name: string, real: string, here: Facts): boolean {
	return isView(name) && real === "original" && !here.has(name);
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
	let made: Promise<T> | undefined;
	return () => {
		made ??= make();
		return made;
	};
}

function otherScenario(
	{ fileName }: Scenario,
	states: readonly TranscriptState[],
	titles: readonly string[],
): KlpemuError {
	const title = states[0]?.title;
	const message =
		title === undefined
			? "the transcript has nothing of this scenario"
			: `no state of the transcript is one of ${fileName}: its first is '${title}'`;
	const hint =
		titles.length === 0
			? "a transcript of a kit (klpemu kit, klpemu vm) has every step"
			: `the scenario's states: ${titles.slice(0, 4).join("; ")}`;
	return new KlpemuError("COMPARE_OTHER_SCENARIO", message, { where: fileName, hint });
}
