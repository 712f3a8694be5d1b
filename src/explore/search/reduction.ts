import { TASK_DEAD, TASK_INTERRUPTIBLE, TASK_RUNNING, TIF_PATCH_PENDING } from "../../linux/sched/index.js";
import type { Model } from "../model.js";
import type { TaskState, World } from "../world/index.js";
import type { KernelState, Outcome } from "./memo.js";

/**
 * Decides which moves exist in a state, and which of them need not be distinguished. The paragraphs are those of
 * docs/exploring.md.
 */
export class Reduction {
	readonly #model: Model;
	readonly #world: World;
	/** Slots of the tasks that make moves; all others stay outside of the kernel (paragraph 3 of "What is left out"). */
	readonly active: readonly number[];
	/**
	 * Slot of the idle task that represents all inactive tasks: at each read of on_cpu it may be on a CPU or not. -1:
	 * none.
	 */
	readonly #other: number;
	readonly #cpus: number;
	/** A task that runs in the kernel stays on its CPU. */
	readonly #nonpreemptible: boolean;
	/** The actors that are tasks of the scenario, with their slots. */
	readonly #doings: readonly { readonly actor: number; readonly of: number }[];
	/** False: only the places of loops are left out. */
	readonly #on: boolean;

	constructor(model: Model, world: World, active: readonly string[], on: boolean) {
		this.#model = model;
		this.#world = world;
		this.active = active.map((name) => world.slot(name));
		this.#cpus = model.machine.sched.cpus.length;
		this.#nonpreemptible = model.machine.sched.preemption === "none";
		this.#other = this.#cpus > 1 ? world.names.length - 1 : -1;
		this.#on = on;
		this.#doings = model.admins.flatMap(({ of }, actor) => (of === undefined ? [] : [{ actor, of: world.slot(of) }]));
	}

	// ---- "What a schedule decides": the tasks on a CPU ----

	/** Slots of the tasks that can make a move. */
	tasksThatMove(kernel: KernelState, tasks: readonly TaskState[]): number[] {
		const free = this.#used(kernel, tasks) < this.#cpus;
		const mayMove = (slot: number) =>
			canMove(tasks[slot]!) && !kernel.idleAsleep.includes(slot) && !this.#isInStep(kernel, slot);
		return this.active.filter((slot) => mayMove(slot) && (free || this.#inKernel(tasks[slot]!)));
	}

	/** The actors that have a next step and a CPU for it. */
	actorsThatMove(kernel: KernelState, tasks: readonly TaskState[]): number[] {
		const free = this.#used(kernel, tasks) < this.#cpus;
		const actors: number[] = [];
		for (let actor = 0; actor < kernel.next.length; actor++) {
			if (kernel.next[actor] === undefined || !this.#isFree(kernel, actor, tasks)) continue;
			if (free || (this.#nonpreemptible && kernel.onCpu[actor])) actors.push(actor);
		}
		return actors;
	}

	/** A task that is an actor makes its steps in user mode. */
	#isFree(kernel: KernelState, actor: number, tasks: readonly TaskState[]): boolean {
		const of = this.#model.admins[actor]?.of;
		if (of === undefined) return true;
		const slot = this.#world.slot(of);
		const { alive, fields } = tasks[slot]!;
		const running = fields.mode === "user" && !fields.exiting && fields.__state === TASK_RUNNING && !fields.held;
		const another = this.#doings.some(
			(doing) => doing.of === slot && doing.actor !== actor && kernel.onCpu[doing.actor],
		);
		return this.active.includes(slot) && alive && running && !another;
	}

	/** The task is in the middle of what it does by itself, a fork: it makes no other move meanwhile. */
	#isInStep(kernel: KernelState, slot: number): boolean {
		return this.#doings.some(({ actor, of }) => of === slot && kernel.onCpu[actor]);
	}

	/** Number of CPUs whose task cannot be taken off. */
	#used(kernel: KernelState, tasks: readonly TaskState[]): number {
		return this.#countInKernel(tasks) + (this.#nonpreemptible ? kernel.actorsOnCpu : 0);
	}

	#countInKernel(tasks: readonly TaskState[]): number {
		let count = 0;
		for (const slot of this.active) if (this.#inKernel(tasks[slot]!)) count++;
		return count;
	}

	/** The task is on a CPU and cannot be taken off. */
	#inKernel({ alive, running, fields }: TaskState): boolean {
		if (!alive) return false;
		return fields.trace_recursion !== 0 || fields.preempt_count !== 0 || (running && this.#nonpreemptible);
	}

	/** Possible values of on_cpu of a task when `actor` reads it. */
	mayBeBusy(kernel: KernelState, tasks: readonly TaskState[], slot: number, actor: number): readonly boolean[] {
		const task = tasks[slot]!;
		if (this.#inKernel(task)) return BUSY;
		if (this.#nonpreemptible && this.#isInStep(kernel, slot)) return BUSY;
		if (this.#model.idleSleeps && slot >= tasks.length - this.#cpus) return this.#idleIsBusy(kernel, tasks, slot);
		if (task.fields.mode === "host" || (slot !== this.#other && !this.active.includes(slot))) return FREE;
		if (task.fields.__state !== TASK_RUNNING || task.fields.held) return FREE;
		const others = this.#nonpreemptible ? kernel.actorsOnCpu - (kernel.onCpu[actor] ? 1 : 0) : 0;
		return this.#countInKernel(tasks) + others + 1 < this.#cpus ? EITHER : FREE;
	}

	/** If no task runs, an idle task is on its CPU unless an actor is: the actors use the first CPUs. */
	#idleIsBusy(kernel: KernelState, tasks: readonly TaskState[], slot: number): readonly boolean[] {
		const cpu = slot - (tasks.length - this.#cpus);
		return cpu >= Math.max(kernel.actorsOnCpu, 1) ? BUSY : FREE;
	}

	// ---- "What a schedule decides": time ----

	/** The kworker's work may have been tried often enough for signals, and signals would change something. */
	mayBeLate(kernel: KernelState, tasks: readonly TaskState[], actor: number): boolean {
		const worker = actor === kernel.next.length - 1;
		return worker && kernel.retries && !kernel.onCpu[actor] && this.#isTaskAsleep(tasks);
	}

	#isTaskAsleep(tasks: readonly TaskState[]): boolean {
		return this.active.some((slot) => isAsleep(tasks[slot]!) && tasks[slot]!.fields.__state === TASK_INTERRUPTIBLE);
	}

	// ---- "What is left out, and why nothing is lost" ----

	/** True if no other task or actor must make a move before the next point of `actor`. */
	goesStraightOn(at: KernelState, actor: number, outcome: Outcome): boolean {
		// At a place, the step has had no effect yet.
		if (outcome.kind === "place") return true;
		if (!this.#on) return false;
		return outcome.kind === "turn" || isUnseen(at, actor, outcome);
	}
}

/** Paragraph 2: steps that no task and no other actor can see. */
function isUnseen(at: KernelState, actor: number, { to, touchesTasks }: Outcome): boolean {
	const alone = at.mutexHeld && to.mutexHeld && at.outOfTheWay.every((out, other) => out || other === actor);
	return alone && !touchesTasks && to.text === at.text && to.next[actor] !== undefined;
}

const FREE: readonly boolean[] = [false];
const BUSY: readonly boolean[] = [true];
const EITHER: readonly boolean[] = [false, true];

function canMove({ alive, fields }: TaskState): boolean {
	if (!alive || fields.held || fields.mode === "host") return false;
	return fields.__state === TASK_RUNNING || fields.wakeAt !== Number.POSITIVE_INFINITY;
}

/** The task sleeps until another task, or a signal, wakes it. */
export function isAsleep({ alive, fields }: TaskState): boolean {
	if (!alive || fields.mode === "host" || fields.__state === TASK_DEAD) return false;
	return fields.held === true || (fields.__state !== TASK_RUNNING && fields.wakeAt === Number.POSITIVE_INFINITY);
}

/** TIF_PATCH_PENDING is set. */
export function isPending({ fields }: TaskState): boolean {
	return ((fields.thread_flags as number) & TIF_PATCH_PENDING) !== 0;
}
