import { KlpemuError } from "../base/index.js";
import { InvariantChecker, judgeError, type Violation } from "../consistency/index.js";
import { findDesign } from "../designs/index.js";
import type { Design } from "../linux/klp/index.js";
import type { KernelCore } from "../linux/klp-c/index.js";
import type { Kernel, KernelLayout } from "../linux/lib/index.js";
import type { task_struct } from "../linux/sched/index.js";
import { boot, type Machine } from "../machine/index.js";
import type { Report, ReportFailure, ReportStep, ReportViolation } from "../report/index.js";
import { reportSeed } from "../report/index.js";
import { designOfCore, withCore } from "./core-design.js";
import { livepatchesUnder } from "./design-keys.js";
import { checkErrno, type Found } from "./expectation.js";
import { hintsFor } from "./hints.js";
import type { Host } from "./host.js";
import { kernelLayoutOf } from "./kernel-objects.js";
import { type LoadedObjects, loadObjects } from "./load.js";
import { Observer } from "./observe.js";
import type { RunObserver } from "./recorder.js";
import { expectedErrno, expectedVerdict, type Scenario } from "./scenario.js";
import { loadSelftest, type Selftest } from "./selftest.js";
import { type Driver, definitionOf, Outside, type Step, type StepBase, type StepWorld } from "./steps/index.js";
import { tracer } from "./trace.js";
import { whereOf } from "./types.js";
import { addWatched, nameInReports, type PatchedFunction, watchedFunctions, watchPatch } from "./watched.js";
import { Whereabouts } from "./whereabouts.js";
import { createWorld } from "./world.js";

export interface RunScenarioOptions {
	/** Replaces the scenario's value. */
	readonly design?: string | Design | undefined;
	/** The kernel's own livepatch core, in place of the one in TypeScript; it follows mainline. */
	readonly core?: KernelCore | undefined;
	/** The layout of the kernel whose .ko files can be loaded; default: that of the scenario's. */
	readonly kernelLayout?: KernelLayout | undefined;
	readonly cpu?: string | undefined;
	readonly seed?: bigint | number | undefined;
	/**
	 * After a step that does not end as expected, the later steps are not run. Not used for selftests, whose tests are
	 * independent.
	 */
	readonly stopAtFailure?: boolean | undefined;
	/** Called with one line for each guest instruction. */
	readonly traceInsns?: ((line: string) => void) | undefined;
	/** Called with one line for each point of kernel code and each guest call, with the guest instructions so far. */
	readonly onEvent?: ((event: string) => void) | undefined;
	/** Watches the run, for example a Recorder: a new one for each run. */
	readonly recorder?: RunObserver | undefined;
	readonly host: Host;
}

/**
 * Builds the machine that a scenario describes: with all objects loaded and all tasks created, before the first step.
 */
export async function createScenarioMachine(
	scenario: Scenario,
	options: RunScenarioOptions,
): Promise<{ machine: Machine; objects: LoadedObjects }> {
	const { host } = options;
	const { core } = await withCore(scenario, options);
	const objects = await loadObjects(scenario, host.files, host.loadObject);
	const given = core?.layout ?? options.kernelLayout;
	const kernelLayout = await kernelLayoutOf(objects.kernelObjects, host, given);
	const machine = await boot({
		design: core === undefined ? findDesign(options.design ?? scenario.design) : designOfCore(core),
		core,
		createCpu: (memory) => host.createCpu(options.cpu ?? scenario.cpu, memory),
		vmlinux: objects.vmlinux,
		kernelLayout,
		image: await host.engineImage(),
		cpus: scenario.cpus,
		seed: options.seed ?? scenario.seed,
		hz: scenario.hz,
		memoryBytes: scenario.memory,
		preemption: scenario.preemption,
	});
	return { machine, objects };
}

/** Runs a scenario from its first step to its last, and reports the implementations that every task runs after each. */
export async function runScenario(scenario: Scenario, options: RunScenarioOptions): Promise<Report> {
	const { machine, objects } = await createScenarioMachine(scenario, options);
	try {
		return await runOn(machine, objects, scenario, options);
	} finally {
		machine.close();
	}
}

/**
 * The same on a machine of {@link createScenarioMachine}. Afterwards the machine is in the state after the last step.
 */
export async function runOn(
	machine: Machine,
	objects: LoadedObjects,
	scenario: Scenario,
	options: RunScenarioOptions,
): Promise<Report> {
	return (await beginOn(machine, objects, scenario, options)).run();
}

/** The same before its first step: all tasks are created. */
export async function beginOn(
	machine: Machine,
	objects: LoadedObjects,
	scenario: Scenario,
	options: RunScenarioOptions,
): Promise<ScenarioRun> {
	const selftest = await loadSelftest(scenario, options.host.files, machine);
	if (options.traceInsns !== undefined) {
		machine.observe({ instruction: await tracer(machine, options.host.loadCapstone, options.traceInsns) });
	}
	return new ScenarioRun(scenario, machine, objects, options, selftest);
}

/** A place in a run from which it can go on, see {@link ScenarioRun.place}. */
export interface RunPlace {
	/** The step that begins here or is in progress, from 0. */
	readonly step: number;
	/** The rounds that it has made while it waits; undefined: it does not wait, or cannot go on from the middle of it. */
	readonly rounds: number | undefined;
	/** The scenario's tasks. */
	readonly present: ReadonlyMap<string, task_struct>;
}

/** The steps of a scenario on a machine, one after the other, and the report of them. */
export class ScenarioRun {
	#scenario: Scenario;
	readonly #machine: Machine;
	readonly #seed: bigint | number;
	#violations: ReportViolation[] = [];
	readonly #failures: ReportFailure[] = [];
	readonly #steps: ReportStep[] = [];
	readonly #checker: InvariantChecker;
	readonly #observer: Observer;
	readonly #watched: PatchedFunction[];
	#world: StepWorld;
	readonly #control = { mayFallAsleep: false };
	readonly #selftest: Selftest | undefined;
	/** The present step (also one of a race), and the index, from 1, of the entry of `steps` to which it belongs. */
	#step: StepBase | undefined = undefined;
	#index = 0;
	/** See {@link RunPlace.rounds}. */
	#waited: number | undefined = undefined;
	/** Number of dmesg lines at the last `expect: { dmesg }`, and at the end of the last step. */
	#dmesgExpected = 0;
	#dmesgReported = 0;
	#lastErrno = 0;
	/** The text that a `cat` of this step has read. */
	#read: string | undefined = undefined;
	/** Why this step does nothing. */
	#skipped: string | undefined = undefined;
	/** True if a step did not end as expected: the later steps assume another state. */
	#hasFailed = false;
	readonly #stops: boolean;
	readonly #whereabouts: Whereabouts;
	readonly #recorder: RunObserver | undefined;

	constructor(
		scenario: Scenario,
		machine: Machine,
		objects: LoadedObjects,
		options: RunScenarioOptions,
		selftest: Selftest | undefined,
	) {
		this.#selftest = selftest;
		this.#scenario = scenario;
		this.#machine = machine;
		this.#seed = options.seed ?? scenario.seed;
		this.#stops = (options.stopAtFailure ?? false) && scenario.selftest === undefined;
		this.#whereabouts = new Whereabouts(machine);
		// Before the checker: a violation comes behind the step that causes it.
		this.#recorder = options.recorder;
		this.#recorder?.attach(machine);
		const watched = watchedFunctions(scenario.livepatches, machine);
		this.#watched = watched;
		machine.observe({ enable: (patch) => watchPatch(watched, machine, patch) });
		if (options.onEvent !== undefined) tell(machine, options.onEvent);
		const checker = new InvariantChecker(machine, watched, (violation) => this.#violated(violation));
		this.#checker = checker;
		this.#world = createWorld(scenario, machine, objects, watched, this.#control, this.#driver());
		this.#observer = new Observer(machine, checker, watched, this.#world.tasks.present, this.#whereabouts);
		for (const spec of scenario.tasks.values()) this.#world.tasks.add(spec);
		checker.check("start");
	}

	run(): Report {
		this.#whereabouts.end();
		return this.#runFrom(0);
	}

	/** Where the run is, while it makes a step: with the machine's state, all that it needs to go on from here. */
	get place(): RunPlace {
		return { step: this.#index - 1, rounds: this.#waited, present: new Map(this.#world.tasks.present) };
	}

	/**
	 * Makes the steps from a place on, and forgets what was reported of them before. The machine has been restored to the state in which the
	 * step of the place began; for a place in the middle of a step, {@link goTo} follows in its first round.
	 */
	runFrom(place: RunPlace): Report {
		this.#setPresent(place);
		return this.#runFrom(place.step);
	}

	/** The machine has been restored in the first round of a step: to a place in the middle of this step. */
	goTo(place: RunPlace): void {
		this.#setPresent(place);
		this.#waited = place.rounds;
	}

	#setPresent(place: RunPlace): void {
		const { present } = this.#world.tasks;
		present.clear();
		for (const [name, task] of place.present) present.set(name, task);
	}

	#runFrom(first: number): Report {
		this.#index = first;
		this.#hasFailed = false;
		this.#steps.length = Math.min(this.#steps.length, first);
		this.#failures.splice(0, Infinity, ...this.#failures.filter(({ step }) => step <= first));
		this.#violations = this.#violations.filter(({ step }) => step <= first);
		for (const step of this.#scenario.steps.slice(first)) {
			if (this.#hasFailed && this.#stops) break;
			this.step(step);
		}
		return this.report();
	}

	/**
	 * Goes on with a scenario that declares more livepatches, modules and tasks than the one before; its further steps
	 * are not run by themselves. The new tasks start now.
	 */
	extend(scenario: Scenario, loaded: LoadedObjects): void {
		this.#scenario = scenario;
		const machine = this.#machine;
		const world = this.#world;
		const livepatches = livepatchesUnder(scenario, machine.klp.design);
		const objects = new Map([...world.objects, ...loaded.modules, ...loaded.livepatches]);
		this.#world = { ...world, livepatches, objects };
		for (const func of watchedFunctions(scenario.livepatches, machine)) addWatched(this.#watched, func);
		for (const spec of scenario.tasks.values()) if (!world.tasks.names.has(spec.name)) world.tasks.add(spec);
	}

	/** Makes one step. Returns its entry of the report. */
	step(step: Step): ReportStep {
		this.#index++;
		this.#read = undefined;
		this.#skipped = undefined;
		const definition = definitionOf(step);
		const action = definition.title(step);
		this.#whereabouts.begin(`step ${this.#index}, ${action}`);
		this.#recorder?.beginStep(this.#index, action);
		const failures = this.#failures.length;
		this.#selftest?.log(definition.logsBefore?.(step, this.#world));
		const errno = this.#stepOrFail(step);
		this.#checker.checkWarnings(action);
		this.#selftest?.log(definition.logsAfter?.(step, errno));
		this.#dropEchoes();
		this.#recorder?.endStep(errno, this.#violations);
		if (!definition.hasNoResult) {
			this.#lastErrno = errno;
			const message = checkErrno(errno, expectedErrno(step, this.#machine.klp.design.name));
			this.#failIf(step, message);
			this.#hasFailed ||= message !== undefined;
		}
		this.#whereabouts.end();
		const dmesg = this.#machine.dmesg.lines();
		const printed = dmesg.slice(this.#dmesgReported);
		const failed = errno !== 0 || this.#failures.length > failures;
		const entry: ReportStep = {
			index: this.#index,
			action,
			errno,
			...this.#observer.state(),
			...this.#observer.more(),
			...(this.#read !== undefined && { read: this.#read }),
			...(this.#skipped !== undefined && { skipped: this.#skipped }),
			dmesg: printed,
			...(failed && { hints: hintsFor(printed, this.#machine, this.#world.objects) }),
		};
		this.#steps.push(entry);
		this.#dmesgReported = dmesg.length;
		return entry;
	}

	/** The tasks of the scenario, as they are now. */
	tasks(): ReportStep["tasks"] {
		return this.#observer.state().tasks;
	}

	/** The report of all steps until now. */
	report(): Report {
		const { design, compiledFrom } = this.#machine.klp;
		const tests = this.#selftest?.results(this.#failures, this.#violations);
		const verdict = this.#violations.length > 0 ? "violated" : "consistent";
		const expected = expectedVerdict(this.#scenario, design.name) ?? "consistent";
		return {
			schema: 1,
			scenario: this.#scenario.title,
			design: design.name,
			...(compiledFrom !== undefined && { core: compiledFrom }),
			cpu: this.#machine.cpu.name,
			seed: reportSeed(this.#seed),
			preemption: this.#machine.sched.preemption,
			verdict,
			asExpected: this.#failures.length === 0 && expected === verdict && (tests ?? []).every(({ ok }) => ok),
			violations: this.#violations,
			failures: this.#failures,
			steps: this.#steps,
			notRun: Math.max(0, this.#scenario.steps.length - this.#steps.length),
			dmesg: this.#machine.dmesg.lines(),
			...(tests && { tests }),
		};
	}

	#violated({ invariant, task, func, from, to, message }: Violation): void {
		// A task may read the same freed object at each call.
		const isSame = (other: ReportViolation) => other.message === message && other.task === (task ?? null);
		if (invariant === "use-after-free" && this.#violations.some(isSame)) return;
		const violation: ReportViolation = {
			invariant,
			step: this.#index,
			task: task ?? null,
			func: func ?? null,
			from: from ?? null,
			to: to ?? null,
			message,
		};
		this.#violations.push(violation);
		this.#recorder?.violation(violation);
	}

	/**
	 * A violation of the machine's own tasks (shell, kworker, idle) is only reported if no task of the scenario has the
	 * same one in the step that has just ended.
	 */
	#dropEchoes(): void {
		const isOwn = ({ task }: ReportViolation) => task !== null && !this.#world.tasks.names.has(task);
		const told = this.#violations.filter(({ step }) => step === this.#index).filter((other) => !isOwn(other));
		const echo = (violation: ReportViolation) =>
			violation.step === this.#index &&
			isOwn(violation) &&
			told.some((other) => other.invariant === violation.invariant && other.func === violation.func);
		this.#violations = this.#violations.filter((violation) => !echo(violation));
	}

	#failIf(step: StepBase, message: string | undefined): void {
		if (message === undefined) return;
		this.#failures.push({ step: this.#index, where: whereOf(this.#scenario.fileName, step.position), message });
	}

	/** A step that cannot be made (its task is dead, a wait does not end) fails. */
	#stepOrFail(step: StepBase): number {
		const outer = this.#step;
		this.#step = step;
		try {
			return this.#make(step);
		} catch (error) {
			if (!(error instanceof KlpemuError)) throw error;
			this.#hasFailed = true;
			this.#fault(error);
			const more = [error.where, error.hint].filter((part) => part !== undefined);
			this.#failIf(step, more.length === 0 ? error.reason : `${error.reason} (${more.join("; ")})`);
			return expectedErrno(step, this.#machine.klp.design.name);
		} finally {
			this.#step = outer;
		}
	}

	/** Kernel code that faults, or waits for ever. What dies in guest code, the checker has been told of. */
	#fault(error: KlpemuError): void {
		const broken = judgeError(error, this.#machine.shell.task.comm);
		if (broken !== undefined && error.code !== "GUEST_OOPS") this.#violated({ ...broken, point: "fault" });
	}

	/** Makes one step; its result is 0 or a negative errno. */
	#make(step: StepBase): number {
		const { run, outside = false, mayFallAsleep = false } = definitionOf(step);
		this.#control.mayFallAsleep = mayFallAsleep;
		try {
			const code = run(step, this.#world);
			return outside ? this.#outside(code) : this.#machine.shell.run(code);
		} finally {
			this.#control.mayFallAsleep = false;
		}
	}

	/** Drives a step that is not a system call: the machine makes rounds while the shell waits. */
	#outside(code: Kernel<number>): number {
		for (;;) {
			const { done, value } = code.next();
			if (done) return value;
			if (value instanceof Outside) this.#wait(value.rounds, () => value.ready());
		}
	}

	#wait(rounds: number, ready: () => boolean): void {
		const { resumes = false } = definitionOf(this.#step!);
		let made = 0;
		while (made < rounds && !ready()) {
			if (resumes) this.#waited = made;
			this.#machine.round();
			made = (this.#waited ?? made) + 1;
			this.#waited = undefined;
		}
	}

	#driver(): Driver {
		const done = () => true;
		return {
			pass: (rounds) => this.#wait(rounds, () => false),
			race: (actors) => {
				for (const step of actors.flat()) this.#stepOrFail(step);
				return done;
			},
			fail: (message) => this.#failIf(this.#step!, message),
			skip: (reason) => {
				this.#skipped = reason;
			},
			hasRead: (text) => {
				this.#read = text;
			},
			holdUps: () => this.#whereabouts.holdUps(),
			nameOf: (func) => nameInReports(this.#machine, this.#watched, func),
			look: (takeDmesg) => this.#look(takeDmesg),
			lastErrno: () => this.#lastErrno,
			beginTest: (title) => this.#selftest!.begin(title, this.#index),
		};
	}

	#look(takeDmesg: boolean): Found {
		const lines = this.#machine.dmesg.lines();
		const dmesg = lines.slice(this.#dmesgExpected);
		if (takeDmesg) this.#dmesgExpected = lines.length;
		const state = this.#observer.state();
		return {
			...state,
			tasks: { ...state.tasks, ...this.#observer.idleTasks() },
			calls: this.#world.ops.calls,
			trace: this.#machine.tracefs.lines(),
			dmesg,
		};
	}
}

/** Reports events of a machine. */
function tell(machine: Machine, onEvent: (event: string) => void): void {
	const who = () => `${machine.sched.instructions} ${machine.sched.current.comm}`;
	machine.observe({
		point: (label) => onEvent(`${who()} ${label}`),
		call: (task, func, result) => onEvent(`${who()} ${task.comm}: ${machine.symbolize(func)} -> ${result}`),
	});
}
