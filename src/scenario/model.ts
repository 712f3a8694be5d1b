import { KlpemuError } from "../base/index.js";
import type { Admin, AdminStep, Model, ModelTask } from "../explore/index.js";
import type { Kernel } from "../linux/lib/index.js";
import { TASK_INTERRUPTIBLE, TASK_RUNNING, type task_struct } from "../linux/sched/index.js";
import type { LoadedModule, Machine, NewTask } from "../machine/index.js";
import { describeStep } from "./describe.js";
import type { LoadedObjects } from "./load.js";
import { bodiesOf } from "./observe.js";
import { createScenarioMachine, livepatch, type RunScenarioOptions, watchedFunctions } from "./run.js";
import { type Scenario, type Step, type TaskSpec, whereOf } from "./types.js";

/** Makes the explorer's model of a scenario: its machine, with everything loaded and nothing done yet. */
export async function createModel(scenario: Scenario, options: RunScenarioOptions): Promise<Model> {
	const { machine, objects } = await createScenarioMachine(scenario, options);
	return new ModelBuilder(scenario, machine, objects).model();
}

/** Steps that only look, or let time pass, which the explorer does anyway. */
const LOOKS: ReadonlySet<Step["kind"]> = new Set(["expect", "state", "cat", "sleep", "call"]);

class ModelBuilder {
	readonly #scenario: Scenario;
	readonly #machine: Machine;
	readonly #objects: LoadedObjects;
	readonly #control = { mayFallAsleep: false, racersDone: () => true };
	readonly #functions;
	/** All tasks there will ever be. */
	readonly #specs = new Map<string, TaskSpec>();

	constructor(scenario: Scenario, machine: Machine, objects: LoadedObjects) {
		this.#scenario = scenario;
		this.#machine = machine;
		this.#objects = objects;
		this.#functions = watchedFunctions(scenario, machine);
	}

	model(): Model {
		const { tasks } = this.#scenario;
		for (const spec of tasks.values()) {
			this.#machine.addTask(this.#newTask(spec));
			this.#specs.set(spec.name, spec);
		}
		const steps = this.#scenario.steps.filter((step) => !LOOKS.has(step.kind));
		const every = steps.flatMap((step) => (step.kind === "race" ? step.actors.flat() : [step]));
		for (const step of every) if (step.kind === "fork") this.#specs.set(step.child.name, step.child);
		for (const spec of tasks.values()) if (spec.fork) this.#specs.set(childOf(spec).name, childOf(spec));
		const named = new Set(every.flatMap((step) => namedTasks(step)));
		return {
			machine: this.#machine,
			functions: this.#functions,
			tasks: [...this.#specs.values()].map(
				(spec): ModelTask => ({
					name: spec.name,
					group: spec.group,
					runs: spec.calls.length > 0,
					named: named.has(spec.name),
				}),
			),
			admins: [this.#admin("shell", this.#machine.shell, steps, undefined), ...this.#racers(steps), ...this.#doings()],
			preemption: this.#scenario.preemption,
			control: this.#control,
		};
	}

	/** What tasks do by themselves, besides calling functions. */
	#doings(): Admin[] {
		const doing = (of: string, title: string, run: () => Kernel<unknown>): Admin => {
			const steps = [{ title: `${of} ${title}`, mayFallAsleep: false, run }];
			return { name: `${of}:${title}`, task: this.#task(of), during: undefined, of, steps };
		};
		return [...this.#scenario.tasks.values()].flatMap((spec) => [
			...(spec.fork ? [doing(spec.name, "forks", () => this.#fork(spec.name, childOf(spec)))] : []),
			...(spec.exit ? [doing(spec.name, "exits", () => this.#exitNow(spec.name))] : []),
		]);
	}

	/** Those who race with the first administrator's other selves, while that one waits for them. */
	#racers(steps: readonly Step[]): Admin[] {
		const racers: Admin[] = [];
		for (const [during, step] of steps.entries()) {
			if (step.kind !== "race") continue;
			for (const actor of step.actors) {
				const name = `shell/${racers.length + 1}`;
				const task = this.#machine.hostTask(name, 0, TASK_INTERRUPTIBLE);
				racers.push(this.#admin(name, task, actor, during));
			}
		}
		return racers;
	}

	#admin(name: string, task: task_struct, steps: readonly Step[], during: number | undefined): Admin {
		return { name, task, during, of: undefined, steps: steps.map((step) => this.#step(step)) };
	}

	#step(step: Step): AdminStep {
		if (step.kind === "insmod" && this.#scenario.livepatches.get(step.module)?.objects.length === 0) {
			throw new KlpemuError(
				"EXPLORE_UNSUPPORTED",
				`'${step.module}' enables itself, in C: what guest code of it does cannot be explored`,
				{
					where: whereOf(this.#scenario.fileName, step.position),
					hint: "say in the scenario what it patches (funcs)",
				},
			);
		}
		const mayFallAsleep = step.kind === "run";
		return { title: describeStep(step), mayFallAsleep, run: () => this.#run(step) };
	}

	#run(step: Step): Kernel<unknown> {
		const machine = this.#machine;
		switch (step.kind) {
			case "insmod":
				return this.#insmod(step.module);
			case "rmmod":
				return machine.delete_module(step.module);
			case "settle":
				return this.#settle();
			case "run":
				return this.#runTasks(step.tasks);
			case "disable":
				return machine.sysfs.write(`${step.livepatch}/enabled`, "0");
			case "enable":
				return machine.sysfs.write(`${step.livepatch}/enabled`, "1");
			case "reverse":
				return this.#reverse(step.livepatch);
			case "force":
				return machine.sysfs.write(`${step.livepatch ?? this.#inTransition()}/force`, "1");
			case "echo":
				return machine.files.write(step.path, step.value);
			case "wake":
				return this.#wake(step.tasks);
			case "fork":
				return this.#fork(step.parent, step.child);
			case "exit":
				return this.#exitAll(step.tasks);
			case "race":
				return this.#race();
			default:
				throw new KlpemuError("EXPLORE_UNSUPPORTED", `the explorer cannot make the step '${step.kind}'`, {
					where: whereOf(this.#scenario.fileName, step.position),
				});
		}
	}

	*#race(): Kernel<void> {
		yield { label: "race", ready: () => this.#control.racersDone() };
	}

	*#insmod(name: string): Kernel<void> {
		const spec = this.#scenario.livepatches.get(name);
		const objects = spec === undefined ? this.#objects.modules.get(name)! : this.#objects.livepatches.get(name)!;
		const patchOf = (mod: LoadedModule) => livepatch(spec!, mod);
		yield* this.#machine.load_module(name, objects, spec === undefined ? {} : { patchOf });
	}

	*#settle(): Kernel<void> {
		const { klp, workqueue } = this.#machine;
		const settled = () => klp.inTransition === undefined && workqueue.pending.length === 0;
		yield { label: "settle", ready: settled };
	}

	*#runTasks(names: readonly string[]): Kernel<void> {
		const tasks = names.map((name) => this.#task(name));
		// A task that is to sleep in some function sleeps nowhere else; it may do so again and again.
		const asleep = (task: task_struct) =>
			task.program.sleepAt === undefined
				? task.__state !== TASK_RUNNING
				: task.held || (task.slept && task.__state !== TASK_RUNNING);
		for (const task of tasks) if (!asleep(task)) task.slept = false;
		if (names.length === 0) yield "run";
		else yield { label: `run ${names.join(", ")}`, ready: () => tasks.every(asleep) };
	}

	#inTransition(): string {
		return this.#machine.klp.inTransition ?? "(none in transition)";
	}

	*#reverse(name: string | undefined): Kernel<void> {
		const path = `${name ?? this.#inTransition()}/enabled`;
		const value = this.#machine.sysfs.read(path);
		if (typeof value !== "number") yield* this.#machine.sysfs.write(path, value === "1" ? "0" : "1");
	}

	*#wake(names: readonly string[]): Kernel<void> {
		for (const name of names) this.#machine.wake(this.#task(name));
		yield `wake ${names.join(", ")}`;
	}

	// biome-ignore lint/correctness/useYield: kernel code in one step
	*#fork(parent: string, child: TaskSpec): Kernel<void> {
		this.#machine.fork(this.#task(parent), this.#newTask(child));
	}

	*#exitAll(names: readonly string[]): Kernel<void> {
		for (const name of names) yield* this.#exit(name);
	}

	// biome-ignore lint/correctness/useYield: kernel code in one step
	*#exitNow(name: string): Kernel<void> {
		this.#machine.exit(this.#task(name));
	}

	*#exit(name: string): Kernel<void> {
		const task = this.#task(name);
		yield {
			label: `exit ${name}`,
			ready: () => task.mode === "user" || (task.kthread && task.__state !== TASK_RUNNING),
		};
		this.#machine.exit(task);
		yield `do_exit(${name})`;
	}

	#task(name: string): task_struct {
		const task = this.#machine.sched.tasks.find(({ comm }) => comm === name);
		if (task === undefined) throw new KlpemuError("SCENARIO_NO_TASK", `task '${name}' has ended already`);
		return task;
	}

	#newTask(spec: TaskSpec): NewTask {
		const machine = this.#machine;
		const calls = spec.calls.map((name) => {
			const address = machine.kallsyms(undefined, name)[0]?.address;
			if (address !== undefined) return address;
			throw new KlpemuError("SCENARIO_UNKNOWN_FUNC", `function '${name}' is in a module that is not loaded yet`);
		});
		const { sleeps_in } = spec;
		const sleepAt =
			sleeps_in === undefined
				? undefined
				: () => (this.#control.mayFallAsleep ? bodiesOf(machine, this.#functions, sleeps_in) : []);
		const { name, kthread, interruptible, cpu, idle } = spec;
		return { name, kthread, calls, sleepAt, interruptible, cpu, idle };
	}
}

/** What a task that forks gives birth to: one like itself, which does not fork. */
function childOf(spec: TaskSpec): TaskSpec {
	return { ...spec, name: `${spec.name}.child`, group: `${spec.group}.child`, fork: false };
}

function namedTasks(step: Step): readonly string[] {
	switch (step.kind) {
		case "run":
		case "wake":
		case "exit":
			return step.tasks;
		case "fork":
			return [step.parent];
		default:
			return [];
	}
}
