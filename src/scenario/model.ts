import { KlpemuError } from "../base/index.js";
import type { Admin, AdminStep, DesignAsks, Model, ModelTask } from "../explore/index.js";
import type { Kernel } from "../linux/lib/index.js";
import { PF_KTHREAD, TASK_IDLE, TASK_INTERRUPTIBLE, type task_struct } from "../linux/sched/index.js";
import type { LoadedObjects } from "./kernel-objects.js";
import { type Noted, Outcomes } from "./outcomes.js";
import { createScenarioMachine, type RunScenarioOptions } from "./run.js";
import type { Scenario } from "./scenario.js";
import { type Driver, definitionOf, type Step, type StepBase, type StepWorld } from "./steps/index.js";
import { type TaskSpec, whereOf } from "./types.js";
import { placeOf, watchedFunctions, watchPatch, watchPlaces } from "./watched.js";
import { createWorld } from "./world.js";

/** The explorer's model of a scenario, and the results of its steps in the executed schedules. */
export interface ScenarioModel extends Model {
	readonly outcomes: Outcomes;
	/** The functions that only the code of livepatches names, as far as it has run (see placeOf()). */
	watched(): readonly string[];
}

/**
 * Makes the explorer's model of a scenario: its machine, with all objects loaded and before the first step. `places`: of a schedule
 * (see Schedule.watched). `asks`: notes what the design is asked for, in its place.
 */
export async function createModel(
	scenario: Scenario,
	options: RunScenarioOptions,
	places: readonly string[] = [],
	asks?: DesignAsks,
): Promise<ScenarioModel> {
	const { machine, objects } = await createScenarioMachine(scenario, {
		...options,
		design: asks?.design ?? options.design,
	});
	const functions = watchedFunctions(scenario.livepatches, machine);
	const named = functions.length;
	// A livepatch in C names its functions only when it enables itself.
	watchPlaces(functions, machine, places);
	machine.observe({ enable: (patch) => watchPatch(functions, machine, patch) });
	const control = { mayFallAsleep: false, racersDone: () => true };
	const world = createWorld(scenario, machine, objects, functions, control, driver(control));
	for (const spec of scenario.tasks.values()) world.tasks.add(spec);
	const outcomes = new Outcomes(scenario, machine.klp.design.name);
	const { tasks, admins } = new Actors(scenario, world, outcomes);
	const kworkers = queuesWorks(objects)
		? KWORKERS.map((name) => machine.sched.addHost(name, PF_KTHREAD, TASK_IDLE))
		: [];
	const parked = [...scenario.tasks.values()].filter(({ idle }) => idle).map(({ name }) => name);
	const idleSleeps = tasks.length > 0 && tasks.every(({ name, named }) => parked.includes(name) && !named);
	const watched = () => functions.slice(named).map(placeOf);
	return {
		...{ machine, functions, tasks, admins, kworkers, idleSleeps, control, outcomes, asks },
		watched,
		notes: {
			take: () => outcomes.take(),
			add: (notes: readonly Noted[]) => outcomes.add(notes),
			watched,
			watch: (places: readonly string[]) => {
				functions.length = named;
				watchPlaces(functions, machine, places);
			},
		},
	};
}

/** Kworkers for works of guest code: so many of them can wait at once. */
const KWORKERS = ["kworker/0:2", "kworker/1:2"];
/** Functions that queue a work, of klpemu's headers and of the kernel's. */
const QUEUES = [
	"schedule_work",
	"schedule_delayed_work",
	"queue_work_on",
	"queue_delayed_work_on",
	"mod_delayed_work_on",
];

/** True if guest code calls one of them. */
function queuesWorks({ vmlinux, modules, livepatches }: LoadedObjects): boolean {
	const objects = [vmlinux, ...modules.values(), ...livepatches.values()].flat();
	return objects.some(({ symbols }) => symbols.some(({ name, section }) => section === 0 && QUEUES.includes(name)));
}

function driver(control: Model["control"]): Driver {
	const never = (): never => {
		throw new Error("the explorer leaves out the steps that look");
	};
	return {
		pass: () => {},
		// The lists of a race have administrators of their own.
		race: () => () => control.racersDone(),
		fail: () => {},
		skip: () => {},
		hasRead: () => {},
		holdUps: () => "",
		...{ look: never, nameOf: never, lastErrno: never, beginTest: never },
	};
}

/** The actors of a scenario: administrators with the steps that they make, and tasks. */
class Actors {
	readonly tasks: readonly ModelTask[];
	readonly admins: readonly Admin[];
	readonly #scenario: Scenario;
	readonly #world: StepWorld;
	readonly #outcomes: Outcomes;

	constructor(scenario: Scenario, world: StepWorld, outcomes: Outcomes) {
		this.#scenario = scenario;
		this.#world = world;
		this.#outcomes = outcomes;
		const steps = this.#explored(scenario.steps);
		const every = steps.flatMap((step) => (step.kind === "race" ? step.actors.flat() : [step]));
		const declared = [...scenario.tasks.values()];
		// All tasks that can ever exist, each once.
		const specs = new Map(declared.map((spec) => [spec.name, spec]));
		for (const step of every) if (step.kind === "fork") specs.set(step.child.name, step.child);
		for (const spec of declared) if (spec.fork) specs.set(childOf(spec).name, childOf(spec));
		const named = new Set(every.flatMap((step) => definitionOf(step).named?.(step) ?? []));
		this.tasks = [...specs.values()].map(({ name, group, calls }) => ({
			...{ name, group, named: named.has(name) },
			runs: calls.length > 0,
		}));
		const shell = this.#admin("shell", world.machine.shell.task, steps, undefined);
		this.admins = [shell, ...this.#racers(steps), ...declared.flatMap((spec) => this.#doings(spec))];
	}

	/** The steps that the explorer makes. Throws `EXPLORE_UNSUPPORTED` for one that cannot be explored. */
	#explored(steps: readonly Step[]): Step[] {
		return steps.filter((step) => {
			if (step.kind === "race") for (const one of step.actors.flat()) this.#isExplored(one);
			return this.#isExplored(step);
		});
	}

	#isExplored(step: StepBase): boolean {
		const instead = definitionOf(step).notExplored?.(step, this.#world);
		if (instead === undefined) return true;
		if ("skips" in instead) return false;
		throw new KlpemuError("EXPLORE_UNSUPPORTED", instead.refuses, {
			where: whereOf(this.#scenario.fileName, step.position),
			hint: instead.hint,
		});
	}

	/** Actions of a task itself, besides calls of functions. */
	#doings(spec: TaskSpec): Admin[] {
		const { tasks } = this.#world;
		const of = spec.name;
		const doing = (title: string, run: () => Kernel<unknown>): Admin => {
			const steps = [{ title: `${of} ${title}`, mayFallAsleep: false, outside: true, writesTasklist: true, run }];
			return { name: `${of}:${title}`, task: tasks.get(of), during: undefined, of, steps };
		};
		return [
			...(spec.fork ? [doing("forks", () => tasks.forks(of, childOf(spec)))] : []),
			...(spec.exit ? [doing("exits", () => atOnce(() => tasks.exit(of)))] : []),
		];
	}

	/** The administrators of a race: they act while the first one waits for them. */
	#racers(steps: readonly Step[]): Admin[] {
		const racers: Admin[] = [];
		for (const [during, step] of steps.entries()) {
			if (step.kind !== "race") continue;
			for (const actor of step.actors) {
				const name = `shell/${racers.length + 1}`;
				const task = this.#world.machine.sched.addHost(name, 0, TASK_INTERRUPTIBLE);
				racers.push(this.#admin(name, task, actor, during, this.#number(step)));
			}
		}
		return racers;
	}

	/** `race`: number of the race step to which these steps belong. */
	#admin(
		name: string,
		task: task_struct,
		steps: readonly StepBase[],
		during: number | undefined,
		race?: number,
	): Admin {
		return { name, task, during, of: undefined, steps: steps.map((step) => this.#step(step, race)) };
	}

	#step(step: StepBase, race: number | undefined): AdminStep {
		const { title, mayFallAsleep = false, outside = false, writesTasklist = false } = definitionOf(step);
		const run = this.#outcomes.watch(step, race ?? this.#number(step), race !== undefined, this.#world);
		return { title: title(step), mayFallAsleep, outside, writesTasklist, run };
	}

	/** Counted from 1, as in reports. */
	#number(step: StepBase): number {
		const steps: readonly StepBase[] = this.#scenario.steps;
		return steps.indexOf(step) + 1;
	}
}

// biome-ignore lint/correctness/useYield: kernel code in one step
function* atOnce(act: () => void): Kernel<void> {
	act();
}

/** The child of a task that forks by itself: it does the same, but does not fork. */
function childOf(spec: TaskSpec): TaskSpec {
	return { ...spec, name: `${spec.name}.child`, group: `${spec.group}.child`, fork: false };
}
