import { KlpemuError } from "../base/index.js";
import { type Kernel, runStraight } from "../linux/lib/index.js";
import { type LateCall, TASK_RUNNING, type task_struct } from "../linux/sched/index.js";
import type { Machine, NewTask } from "../machine/index.js";
import type { Kaddr } from "../memory/index.js";
import { type Position, type TaskSpec, whereOf } from "./types.js";
import { bodiesOf, type PatchedFunction } from "./watched.js";

/**
 * True if tasks with `sleeps_in` fall asleep now: only in `run` steps, so that these tasks continue while the machine
 * settles.
 */
export interface SleepControl {
	readonly mayFallAsleep: boolean;
}

/** The tasks of a scenario, by name. */
export class ScenarioTasks {
	/** Of the scenario, for messages. */
	readonly #fileName: string;
	readonly #machine: Machine;
	readonly #functions: readonly PatchedFunction[];
	readonly #control: SleepControl;
	/** The names of all tasks that have existed. */
	readonly names = new Set<string>();
	/** Every task that has not exited, dead ones included. For `run` only: the explorer goes back to states with other tasks. */
	readonly present = new Map<string, task_struct>();

	constructor(fileName: string, machine: Machine, functions: readonly PatchedFunction[], control: SleepControl) {
		this.#fileName = fileName;
		this.#machine = machine;
		this.#functions = functions;
		this.#control = control;
	}

	/** Throws `SCENARIO_NO_TASK` if the task does not exist any more. */
	get(name: string): task_struct {
		const task = this.#machine.sched.tasks.find(({ comm }) => comm === name);
		if (task !== undefined) return task;
		const oops = this.present.get(name)?.oops;
		const message = oops === undefined ? `task '${name}' has ended already` : `task '${name}' is dead: ${oops}`;
		throw new KlpemuError("SCENARIO_NO_TASK", message);
	}

	add(spec: TaskSpec): void {
		this.names.add(spec.name);
		this.present.set(spec.name, this.#machine.tasks.add(this.#newTask(spec)));
	}

	/** A child with the patch state of its parent (klp_copy_process). `window`: what happens in the middle of copy_process(). */
	fork(parent: string, child: TaskSpec, window: () => void): void {
		runStraight(this.forks(parent, child), window);
	}

	/** The same, with the point at which other tasks and the kernel can act. */
	*forks(parent: string, child: TaskSpec): Kernel<void> {
		// The name is set first, because the child may break an invariant as soon as it exists.
		this.names.add(child.name);
		this.present.set(child.name, yield* this.#machine.tasks.copy_process(this.get(parent), this.#newTask(child)));
	}

	/** Ends a task, which is outside of guest kernel code. */
	exit(name: string): void {
		this.#machine.tasks.exit(this.get(name));
		this.present.delete(name);
	}

	/** True if the task is at the place that a `run: { task }` step waits for. */
	isAsleep(task: task_struct): boolean {
		// A task with `sleeps_in` sleeps only in that function, perhaps many times.
		if (task.program.sleepAt === undefined) return task.__state !== TASK_RUNNING;
		return task.held || (task.slept && task.__state !== TASK_RUNNING);
	}

	/** The address of a function of vmlinux or of a loaded module. Throws `SCENARIO_UNKNOWN_FUNC`. */
	address(func: string): Kaddr {
		const found = this.#inVmlinux(func);
		if (found !== undefined) return found;
		for (const { image } of this.#machine.modules.values()) {
			const symbol = image.symbol(func);
			if (symbol !== undefined) return symbol.address;
		}
		throw new KlpemuError("SCENARIO_UNKNOWN_FUNC", `function '${func}' is in a module that is not loaded now`);
	}

	#inVmlinux(func: string): Kaddr | undefined {
		return this.#machine.kallsyms.lookup(undefined, func)[0]?.address;
	}

	/** A function of a module is looked up when the task calls it. */
	#callOf({ name }: TaskSpec, func: string, position: Position): Kaddr | LateCall {
		const constant = this.#inVmlinux(func);
		if (constant !== undefined) return constant;
		const call = {
			last: 0,
			resolve: () => {
				try {
					call.last = this.address(func);
				} catch {
					throw new KlpemuError(
						"SCENARIO_UNKNOWN_FUNC",
						`task '${name}' calls '${func}', which is in a module that is not loaded now`,
						{
							where: whereOf(this.#fileName, position),
							hint: "let the task be idle: true until the module is loaded, and wake it then",
						},
					);
				}
				return call.last;
			},
		};
		return call;
	}

	#newTask(spec: TaskSpec): NewTask {
		const { name, kthread, cpu, idle, interruptible = false, sleeps_in } = spec;
		const calls = spec.calls.map((func, index) => this.#callOf(spec, func, spec.callPositions[index] ?? spec.position));
		const exitCalls = spec.exit_calls.map((func) => this.#callOf(spec, func, spec.position));
		const bodies = (func: string) =>
			this.#control.mayFallAsleep ? bodiesOf(this.#machine, this.#functions, func) : [];
		const sleepAt = sleeps_in === undefined ? undefined : () => bodies(sleeps_in);
		return { name, kthread, calls, exitCalls, sleepAt, interruptible, cpu, idle };
	}
}
