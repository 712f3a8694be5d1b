/** Makes recordings: of a scenario's run, of a schedule, and of the same schedule under another design. */
import { InvariantChecker, type Violation, type WatchedFunction } from "../../../src/consistency/index.js";
import { findDesign } from "../../../src/designs/index.js";
import type { Schedule } from "../../../src/explore/index.js";
import type { task_struct } from "../../../src/linux/sched/index.js";
import type { Machine } from "../../../src/machine/index.js";
import {
	createModel,
	createScenarioMachine,
	type Host,
	type PatchedFunction,
	type Scenario,
	ScenarioRun,
	watchedFunctions,
	watchPatch,
} from "../../../src/scenario/index.js";
import type { CodeBlock, Lane, RecordedEvent, Recording, Source } from "../shared/recording.js";
import { Camera } from "./camera.js";
import { Counts, finish, follow, goalsOf, normaliser } from "./follow.js";
import { Player } from "./player.js";

/** A recording, and the code that only the worker needs. */
export interface Recorded {
	readonly recording: Recording;
	readonly code: readonly CodeBlock[];
}

export interface RecordOptions {
	readonly scenario: Scenario;
	readonly design: string;
	readonly host: Host;
}

/** The moves of a schedule under the design that it was found for. */
export async function recordSchedule(options: RecordOptions, schedule: Schedule): Promise<Recorded> {
	return withPlayer(options, "schedule", schedule, (player) => {
		const why = player.play(schedule.moves);
		return why === undefined ? [] : [`${why}: the schedule is of another version of the scenario or of klpemu`];
	});
}

/** The moves of a schedule of another design, and then on to the end of the scenario. */
export async function followSchedule(
	options: RecordOptions,
	schedule: Schedule,
	original: Recording,
): Promise<Recorded> {
	const normalise = normaliser(original.tracks);
	const goals = goalsOf(schedule.moves, original.events, normalise);
	const attempt = (known?: Counts) =>
		withPlayer(options, "follow", schedule, (player) => {
			follow(player, goals, normalise, known);
			finish(player);
			return [];
		});
	const first = await attempt();
	return attempt(new Counts(normalise, first.recording.events));
}

async function withPlayer(
	{ scenario, design, host }: RecordOptions,
	source: Source,
	{ points, watched }: Schedule,
	play: (player: Player) => string[],
): Promise<Recorded> {
	const model = await createModel(scenario, { host, design }, watched);
	try {
		const player = new Player(model, points);
		const remarks = play(player);
		const { camera, events, lanes } = player;
		return recordedOf(source, scenario, model.machine, model.functions, camera, events, lanes, remarks);
	} finally {
		model.machine.close();
	}
}

function recordedOf(
	source: Source,
	scenario: Scenario,
	machine: Machine,
	functions: readonly WatchedFunction[],
	camera: Camera,
	events: readonly RecordedEvent[],
	lanes: readonly Lane[],
	remarks: readonly string[],
): Recorded {
	const { name, title } = machine.klp.design;
	return {
		recording: {
			source,
			scenario: scenario.title,
			design: name,
			designTitle: title,
			functions: functions.map((func) => func.name),
			lanes,
			events,
			tracks: camera.tracks.all,
			dmesg: machine.dmesg.lines(),
			remarks,
		},
		code: camera.code,
	};
}

/** The most events of a run that are kept: a scenario with endless loops has more. */
const MOST_EVENTS = 20_000;

/** The scenario as `klpemu run` runs it: on the schedule that its seed gives. */
export async function recordRun({ scenario, design, host }: RecordOptions): Promise<Recorded> {
	const { machine, objects } = await createScenarioMachine(scenario, { host, design: findDesign(design) });
	try {
		const recorder = new RunRecorder(machine, scenario);
		const run = new ScenarioRun(scenario, machine, objects, { host, design }, undefined);
		recorder.begin();
		for (const [index, step] of scenario.steps.entries()) {
			recorder.step = index;
			const entry = run.step(step);
			recorder.event("shell", entry.action, entry.errno === 0 ? "ends" : `ends with errno ${entry.errno}`, false);
		}
		const report = run.report();
		const remarks = report.failures.map(({ where, message }) => `${where}: ${message}`);
		return recorder.recorded(remarks);
	} finally {
		machine.close();
	}
}

/** Listens to a machine that runs by itself. */
class RunRecorder {
	step = 0;
	readonly #machine: Machine;
	readonly #scenario: Scenario;
	readonly #functions: PatchedFunction[];
	readonly #camera: Camera;
	readonly #events: RecordedEvent[] = [];
	/** In the order in which they came. */
	readonly #lanes = new Map<string, Lane>();
	#broken: Violation[] = [];
	/** What mixed-universe and the like have said of a task already. */
	readonly #said = new Set<string>();

	constructor(machine: Machine, scenario: Scenario) {
		this.#machine = machine;
		this.#scenario = scenario;
		this.#functions = watchedFunctions(scenario.livepatches, machine);
		this.#camera = new Camera(machine, this.#functions);
	}

	/** The tasks of the scenario are there now. */
	begin(): void {
		const machine = this.#machine;
		const checker = new InvariantChecker(machine, this.#functions, (violation) => this.#broken.push(violation));
		checker.check("start");
		this.#take();
		const current = () => machine.sched.current.comm;
		machine.observe({
			// The functions of a C module are known when it enables its patch.
			enable: (patch) => watchPatch(this.#functions, machine, patch),
			point: (label, kind) => this.event(current(), this.#titleOf(current()), label, kind === "detail"),
			call: (task, func) => this.event(task.comm, "", `returns from ${nameOf(machine, func)}`, false),
		});
	}

	#titleOf(who: string): string {
		return who === "shell" ? `step ${this.step + 1}` : "";
	}

	event(who: string, title: string, label: string, quiet: boolean): void {
		if (this.#events.length >= MOST_EVENTS) return;
		const own = this.#broken.filter(({ invariant, message }) => {
			const key = `${invariant} ${message}`;
			return !this.#said.has(key) && this.#said.add(key);
		});
		this.#broken = [];
		const broken = own.map(({ invariant, message, task }) => ({ invariant, message, task }));
		this.#events.push({ who, title, label, quiet, move: this.step, broken });
		this.#take();
	}

	#take(): void {
		const { sched } = this.#machine;
		const tasks = new Map<string, task_struct | undefined>();
		for (const { name } of this.#lanes.values()) tasks.set(name, undefined);
		for (const task of [...sched.exiting, ...sched.all()]) {
			const kind = task.idle ? "idle" : task.mode === "host" ? "actor" : "task";
			if (!this.#lanes.has(task.comm)) this.#lanes.set(task.comm, { name: task.comm, kind });
			tasks.set(task.comm, task);
		}
		this.#camera.take(this.#events.length, tasks, () => ({}));
	}

	recorded(remarks: readonly string[]): Recorded {
		const order = ["actor", "task", "idle"];
		const lanes = [...this.#lanes.values()].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
		const more = this.#events.length >= MOST_EVENTS ? [`only the first ${MOST_EVENTS} events are kept`] : [];
		const [machine, scenario, functions] = [this.#machine, this.#scenario, this.#functions];
		return recordedOf("run", scenario, machine, functions, this.#camera, this.#events, lanes, [...remarks, ...more]);
	}
}

function nameOf(machine: Machine, address: number): string {
	return machine.symbolize(address).replace(/\+.*/, "");
}
