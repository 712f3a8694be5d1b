import type { task_struct } from "../linux/sched/index.js";
import { listTasks, type Machine, namesOf, placeOf } from "../machine/index.js";

/** The functions on a task's kernel stack, innermost first; undefined: the stack cannot be walked reliably. */
export function functionsOn(machine: Machine, task: task_struct): string[] | undefined {
	const trace = machine.unwinder.walk(task);
	return trace.reliable ? namesOf(machine, trace.entries) : undefined;
}

/** A place and the step in which the task came there. */
interface Since {
	readonly place: string;
	readonly step: string;
}

/**
 * The tasks that switch, and the places of tasks with the step in which they reached them. For reports, and for the
 * message of a step that waits in vain.
 */
export class Whereabouts {
	/** Tasks that have switched in this step. */
	readonly switched = new Set<task_struct>();
	readonly #machine: Machine;
	readonly #states = new Map<task_struct, number>();
	#since = new Map<task_struct, Since>();
	#step = "the start";
	/** The step that began the transition, or reversed it. */
	#began = "";

	constructor(machine: Machine) {
		this.#machine = machine;
		machine.observe({
			point: () => this.#compareStates(),
			transition: () => {
				this.#began = this.#step;
			},
		});
	}

	/** Called at the beginning of a step. `title`: `step 3, insmod lp2`. */
	begin(title: string): void {
		this.#step = title;
		this.switched.clear();
	}

	/** Called at the end of a step: records the places of all tasks. */
	end(): void {
		const since = new Map<task_struct, Since>();
		for (const task of this.#machine.sched.all()) since.set(task, this.#sinceOf(task));
		this.#since = since;
	}

	/**
	 * True for KLP_TRANSITION_UNPATCHED (0) to _PATCHED (1), or back. A change from or to IDLE (-1) is not a switch.
	 */
	#compareStates(): void {
		for (const task of this.#machine.sched.all()) {
			const before = this.#states.get(task) ?? -1;
			if (before === task.patch_state) continue;
			if (before >= 0 && task.patch_state >= 0) this.switched.add(task);
			this.#states.set(task, task.patch_state);
		}
	}

	#sinceOf(task: task_struct): Since {
		const place = placeOf(this.#machine, task);
		const before = this.#since.get(task);
		return before?.place === place ? before : { place, step: this.#step };
	}

	/** `sleeper sleeps in funcB (since step 2, run sleeper until asleep)` */
	#of(task: task_struct): string {
		const { place, step } = this.#sinceOf(task);
		return `${task.comm} ${place} (since ${step})`;
	}

	/** The tasks that delay a transition, one by one; or the work that is still pending. */
	holdUps(): string {
		const { klp, sched } = this.#machine;
		if (klp.inTransition === undefined) return "none runs any more, but a work of the kernel is still pending";
		const tasks = [...sched.all()].filter((task) => task.patch_state !== klp.klp_target_state && task.pending);
		const shown = listTasks(tasks, (task) => this.#of(task));
		const held = shown === "" ? "all tasks have switched" : `it waits for: ${shown}`;
		return `that of '${klp.inTransition}' runs since ${this.#began}; ${held}`;
	}
}
