import { KlpemuError } from "../../base/index.js";
import { ERRNO } from "../../linux/lib/index.js";
import { type Report, type ReportStep, unifiedDiff } from "../../report/index.js";
import { filterDmesg, type RunScenarioOptions, runScenario, type Scenario, type Step } from "../../scenario/index.js";
import { didYouMean, emulatedFacts, type Facts, functionNames, type Names, recordedFacts, sameFact } from "./facts.js";
import { errnoOf, type Transcript, type TranscriptCommand, type TranscriptState } from "./transcript.js";

/** A disagreement. */
export interface Difference {
	/** The step or state at which it is. */
	readonly at: string;
	readonly message: string;
}

/** What may differ from run to run, and so does not count; each kind with the number of places. */
export const TIMING = {
	later: "the real kernel was further: the emulated one comes to the same, or through the same, within 3 s",
	unswitched:
		"a task that had not switched yet on the real kernel, and sleeps in no function: it is looked at again within a second",
	behind:
		"the real kernel's transition was still open, held by no task that sleeps in a function: the emulated one was there, and has ended",
	otherwise:
		"a task was caught inside a function, or not, by chance: under another seed the emulated kernel comes to the same within 3 s",
	retries: "lines of klp_try_switch_task(): as many as the transition was tried again",
	signals: "'signaling remaining tasks': printed when a transition is 15 s old",
	debug: "debug lines of livepatch ('initializing', 'completing'), which the recorder had not switched on",
	running: "a task that runs: it may be in any of its functions",
} as const;
export type Timing = keyof typeof TIMING;

export interface Comparison {
	readonly differences: readonly Difference[];
	readonly timing: ReadonlyMap<Timing, number>;
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
	const report = await runScenario(scenario, { ...options, stopAtFailure: false });
	const comparer = new Comparer(scenario, transcript, report, options);
	await comparer.run();
	return comparer.result();
}

class Comparer {
	readonly #scenario: Scenario;
	readonly #transcript: Transcript;
	readonly #report: Report;
	readonly #options: RunScenarioOptions;
	readonly #names: Names;
	readonly #differences: Difference[] = [];
	readonly #timing = new Map<Timing, number>();
	/** Facts of tasks that had not switched yet, when they were last seen so. */
	readonly #lagging = new Map<string, string>();
	/** What comes after a step under another seed. */
	readonly #others = new Map<string, readonly Facts[]>();
	readonly #count = { states: 0, facts: 0, commands: 0, lines: 0 };

	constructor(scenario: Scenario, transcript: Transcript, report: Report, options: RunScenarioOptions) {
		this.#scenario = scenario;
		this.#transcript = transcript;
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
		const { events, complete, kit } = this.#transcript;
		const states = events.filter((event) => event.kind === "state");
		if (this.#scenario.selftest !== undefined) return this.#selftest();
		const pairs = this.#pairs(states);
		for (const [state, step] of pairs) await this.#state(state, step);
		this.#commands();
		this.#dmesg();
		if (!complete)
			this.#differ("end", `the transcript has no END: ${kit ? "run.sh" : "the recorder"} did not come to its end`);
	}

	result(): Comparison {
		const notes = this.#transcript.events.flatMap((event) => (event.kind === "note" ? [event.line] : []));
		return { differences: this.#differences, timing: this.#timing, ...this.#count, notes };
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
		const recorded = recordedFacts(state, this.#names);
		const here = emulatedFacts(step);
		this.#count.facts += recorded.size;
		const wrong = [...recorded].filter(([name, real]) => !this.#agrees(name, real, here, state));
		const missing = this.#transcript.kit
			? Object.keys(step.tasks).filter((task) => state.tasks[task] === undefined)
			: [];
		if (wrong.length === 0 && missing.length === 0) return;
		const later = await this.#later(step);
		for (const [name, real] of wrong) {
			if (this.#unswitched(name, real, here, state)) this.#forgive("unswitched");
			else if (later.some((facts) => comesTo(name, real, here, facts))) this.#forgive("later");
			else if (step.action !== "settle" && isBehind(state) && this.#wasThere(name, real, step)) this.#forgive("behind");
			else if (mayBeChance(name, real, here, state) && (await this.#isOtherwise(name, real, step)))
				this.#forgive("otherwise");
			else this.#differ(state.title, `${name}: here ${here.get(name) ?? "(nothing)"}, on the real kernel ${real}`);
		}
		for (const task of missing) {
			if (later.some((facts) => !facts.has(`${task}: pending`))) this.#forgive("later");
			else this.#differ(state.title, `task ${task}: on the real kernel it does not exist`);
		}
	}

	/** Also what it ran when it was asked, if it switched before the rest was read. A transition that does not end differs at `settle`. */
	#unswitched(name: string, real: string, here: Facts, state: TranscriptState): boolean {
		const task = name.split(": ")[0]!;
		const found = state.tasks[task];
		if (found === undefined || typeof found.in === "string") return false;
		const pending = found.pending && here.get(`${task}: pending`) === "false";
		if (pending) this.#lagging.set(name, real);
		return pending || this.#lagging.get(name) === real;
	}

	#agrees(name: string, real: string, here: Facts, state: TranscriptState): boolean {
		const ours = here.get(name);
		if (sameFact(name, real, ours)) return true;
		const [task, what] = name.split(": ");
		if (what === "in" && real === "(none)" && state.tasks[task!]?.in === null) {
			// Parked by the recorder; here it may be on its way through a function.
			this.#forgive("running");
			return true;
		}
		return false;
	}

	/** The states that the emulated kernel comes to after a step. */
	async #later(step: ReportStep, { seconds, every } = LATER, seed?: number): Promise<Facts[]> {
		const { position } = this.#scenario.steps[step.index - 1]!;
		const wait = { kind: "sleep", seconds: every, position, errno: 0, errnoByDesign: new Map() } as unknown as Step;
		const steps = [...this.#scenario.steps.slice(0, step.index), ...Array<Step>(seconds / every).fill(wait)];
		const options = { ...this.#options, stopAtFailure: false, ...(seed !== undefined && { seed }) };
		const report = await runScenario({ ...this.#scenario, steps }, options);
		return report.steps.slice(step.index - 1).map(emulatedFacts);
	}

	/** The emulated kernel had this fact at one of the last steps, or has come through it since. `settle` must agree again. */
	#wasThere(name: string, real: string, { index }: ReportStep): boolean {
		const now = emulatedFacts(this.#report.steps[index - 1]!);
		const before = this.#report.steps.slice(Math.max(0, index - 1 - STEPS_BEHIND), index - 1).map(emulatedFacts);
		return before.some((facts) => sameFact(name, real, facts.get(name)) || comesTo(name, real, facts, now));
	}

	/** The same scenario on another schedule has this fact at this step, or comes to it. */
	async #isOtherwise(name: string, real: string, step: ReportStep): Promise<boolean> {
		for (let seed = 1; seed <= SEEDS; seed++) {
			const key = `${step.index} ${seed}`;
			const facts = this.#others.get(key) ?? (await this.#later(step, OTHERWISE, seed));
			this.#others.set(key, facts);
			if (facts.some((one) => comesTo(name, real, facts[0]!, one))) return true;
		}
		return false;
	}

	/** Commands on modules and files, in order, with their results. */
	#commands(): void {
		const real = this.#recordedResults();
		const here = this.#results();
		if (real.length === 0) return;
		this.#count.commands = real.length;
		const agree = (one: string, other: string) =>
			one === other || (`${one}${other}`.includes("*") && wild(one) === wild(other));
		for (let i = 0; i < Math.max(real.length, here.length); i++) {
			const [ours, theirs] = [here[i], real[i]];
			if (ours !== undefined && theirs !== undefined && agree(ours, theirs)) continue;
			this.#differ(`command ${i + 1}`, `here '${ours ?? "(none)"}', on the real kernel '${theirs ?? "(none)"}'`);
			// After an insertion all others would differ too.
			if (ours === undefined || theirs === undefined || ours.replace(/ \S+$/, "") !== theirs.replace(/ \S+$/, ""))
				break;
		}
	}

	#recordedResults(): string[] {
		const results: string[] = [];
		const [modules, left] = [this.#names.modules, new Set(this.#leftOut())];
		let step = 0;
		for (const event of this.#transcript.events) {
			if (event.kind === "heading") step = Number(/^step (\d+):/.exec(event.title)?.[1] ?? 0);
			if (event.kind !== "command" || left.has(step)) continue;
			const text = normalCommand(event, modules);
			if (text !== undefined) results.push(`${text} ${errnoOf(event)}`);
		}
		return results;
	}

	/** Steps that a kit makes in another way: several in one. */
	#leftOut(): number[] {
		return this.#scenario.steps.flatMap((step, index) => (step.kind === "race" ? [index + 1] : []));
	}

	#results(): string[] {
		return this.#report.steps.flatMap((step) => {
			const text = commandOf(this.#scenario.steps[step.index - 1]!);
			return text === undefined ? [] : [`${text} ${nameOf(step.errno)}`];
		});
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

/** Where a transition is open, a task that sleeps in no function may have switched already, or not; and the transition may be over. */
function mayBeChance(name: string, real: string, here: Facts, { tasks }: TranscriptState): boolean {
	const open = [...here].some(([path, value]) => path.endsWith("/transition") && value === "1");
	const task = tasks[name.split(": ")[0]!];
	const isOver = name.endsWith("/transition") || (name.endsWith("patch_state") && real === "IDLE");
	return open && (isOver || (task !== undefined && typeof task.in !== "string"));
}

/** A transition is open, although no task of the scenario holds it up: those that have not switched are looked at again within a second. */
function isBehind({ sysfs, tasks }: TranscriptState): boolean {
	const open = Object.entries(sysfs).some(([path, value]) => path.endsWith("/transition") && value === 1);
	return open && Object.values(tasks).every((task) => !task.pending || typeof task.in !== "string");
}

/**
 * A later state of the emulated kernel has this fact; or the task has switched since, and the transition has ended with it, where other
 * tasks of the real kernel held it up a little longer.
 */
function comesTo(name: string, real: string, here: Facts, later: Facts): boolean {
	const ours = later.get(name);
	if (sameFact(name, real, ours)) return true;
	const [task, what] = name.split(": ");
	const isState = what === "patch_state" || what === "/proc/PID/patch_state";
	const isPending = here.get(`${task}: pending`) === "true";
	return isState && isPending && ours === "IDLE" && real !== here.get(name) && real !== "IDLE";
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

/** `insmod lp1`, `rmmod lp1`, `echo 0 > lp1/enabled`; undefined: a command that no step of a scenario stands for. */
function normalCommand({ command }: TranscriptCommand, modules: ReadonlySet<string>): string | undefined {
	const module = /^(insmod|rmmod|modprobe(?: -r)?) (?:\S*\/)?(\w+?)(?:\.ko)?(?= |$)/.exec(command);
	if (module !== null)
		return modules.has(module[2]!) ? `${module[1] === "rmmod" ? "rmmod" : "insmod"} ${module[2]}` : undefined;
	const written = /^echo '?(.*?)'? > (?:\$KL|\/sys\/kernel\/livepatch)\/(\S+)$/.exec(command);
	if (written !== null)
		return `echo ${written[1]!.startsWith("$") ? "*" : written[1]} > ${written[2]!.replace(/^\$\(in_transition\)/, "*")}`;
	return undefined;
}

/** With what only the real kernel's recorder knows left out: the value that `reverse` writes, the livepatch in transition. */
function wild(result: string): string {
	return result.replace(/^echo \S+ >/, "echo * >").replace(/ > [\w*]+\//, " > */");
}

function commandOf(step: Step): string | undefined {
	switch (step.kind) {
		case "insmod":
		case "rmmod":
			return `${step.kind} ${step.module}`;
		case "disable":
		case "enable":
			return `echo ${step.kind === "enable" ? 1 : 0} > ${step.livepatch}/enabled`;
		case "reverse":
			return `echo * > ${step.livepatch ?? "*"}/enabled`;
		case "force":
			return `echo 1 > ${step.livepatch ?? "*"}/force`;
		case "echo": {
			const path = /^\/sys\/kernel\/livepatch\/(.*)$/.exec(step.path)?.[1];
			return path === undefined ? undefined : `echo ${step.value} > ${path}`;
		}
		default:
			return undefined;
	}
}

function nameOf(errno: number): string {
	const name = Object.entries(ERRNO).find(([, value]) => value === -errno)?.[0];
	return errno === 0 ? "0" : (name ?? String(errno));
}
