import type { Model } from "../model.js";
import type { TaskState, World } from "../world/index.js";
import { Column, type Question, TASK, taskBits } from "./columns.js";
import { ON_CPU } from "./decision-tree.js";
import type { KernelState } from "./kernel-state.js";
import type { Outcome } from "./outcome.js";
import type { Position } from "./trace.js";

/**
 * Decides which moves exist in a state, and which of them need not be distinguished. The paragraphs are those of
 * docs/exploring.md.
 */
export class Reduction {
	readonly #model: Model;
	readonly #world: World;
	/** Slots of the tasks that make moves; all others stay outside of the kernel (paragraph 3 of "What is left out"). */
	readonly active: readonly number[];
	/** The bits of {@link TASK}. */
	readonly bits: Column;
	/** By bits of {@link TASK}: 1 if a task has all of them. */
	readonly #have: Question[] = [];
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
	/** By the number of a kernel state: the slots of the tasks that it does not keep from moving. */
	readonly #unhindered: (readonly number[])[] = [];

	constructor(model: Model, world: World, active: readonly string[], on: boolean) {
		this.#model = model;
		this.#world = world;
		this.active = active.map((name) => world.slot(name));
		this.#cpus = model.machine.sched.cpus.length;
		const nonpreemptible = model.machine.sched.preemption === "none";
		this.#nonpreemptible = nonpreemptible;
		this.bits = new Column(world.states.all, (state: TaskState) => taskBits(state, nonpreemptible));
		this.#other = this.#cpus > 1 ? world.names.length - 1 : -1;
		this.#on = on;
		this.#doings = model.admins.flatMap(({ of }, actor) => (of === undefined ? [] : [{ actor, of: world.slot(of) }]));
	}

	// ---- "What a schedule decides": the tasks on a CPU ----

	/** The tasks that a kernel state does not keep from moving. */
	unhindered(kernel: KernelState): readonly number[] {
		this.#unhindered[kernel.id] ??= this.active.filter(
			(slot) => !kernel.idleAsleep.includes(slot) && !this.#isInStep(kernel, slot),
		);
		return this.#unhindered[kernel.id]!;
	}

	/** Slots of the tasks that can make a move. */
	tasksThatMove(kernel: KernelState, position: Position): number[] {
		const needed = this.#hasFreeCpu(kernel, position) ? TASK.canMove : TASK.canMove | TASK.inKernel;
		const slots: number[] = [];
		for (const slot of this.unhindered(kernel)) {
			if (this.#is(position, slot, needed)) slots.push(slot);
		}
		return slots;
	}

	/** The actors that have a next step and a CPU for it. */
	actorsThatMove(kernel: KernelState, position: Position): number[] {
		const free = this.#hasFreeCpu(kernel, position);
		const actors: number[] = [];
		for (let actor = 0; actor < kernel.next.length; actor++) {
			if (kernel.next[actor] === undefined || !this.#isFree(kernel, actor, position)) continue;
			if (free || (this.#nonpreemptible && kernel.onCpu[actor])) actors.push(actor);
		}
		return actors;
	}

	/** A task that is an actor makes its steps in user mode. */
	#isFree(kernel: KernelState, actor: number, position: Position): boolean {
		const of = this.#model.admins[actor]?.of;
		if (of === undefined) return true;
		const slot = this.#world.slot(of);
		const another = this.#doings.some(
			(doing) => doing.of === slot && doing.actor !== actor && kernel.onCpu[doing.actor],
		);
		return this.active.includes(slot) && this.#is(position, slot, TASK.inUserMode) && !another;
	}

	/** The task is in the middle of what it does by itself, a fork: it makes no other move meanwhile. */
	#isInStep(kernel: KernelState, slot: number): boolean {
		return this.#doings.some(({ actor, of }) => of === slot && kernel.onCpu[actor]);
	}

	/** There is a CPU whose task can be taken off. */
	#hasFreeCpu(kernel: KernelState, position: Position): boolean {
		return this.#countInKernel(position) + (this.#nonpreemptible ? kernel.actorsOnCpu : 0) < this.#cpus;
	}

	#countInKernel(position: Position): number {
		let count = 0;
		for (const slot of this.active) if (this.#is(position, slot, TASK.inKernel)) count++;
		return count;
	}

	/** All of these bits of {@link TASK} are set. */
	#is(position: Position, slot: number, bits: number): boolean {
		return position.ask(slot, this.#haveBits(bits)) !== 0;
	}

	#haveBits(wanted: number): Question {
		this.#have[wanted] ??= new Column(this.#world.states.all, (state) =>
			Number((taskBits(state, this.#nonpreemptible) & wanted) === wanted),
		);
		return this.#have[wanted]!;
	}

	/** Possible values of on_cpu of a task when `actor` reads it, see {@link ON_CPU}. */
	mayBeBusy(kernel: KernelState, position: Position, slot: number, actor: number): number {
		if (this.#is(position, slot, TASK.inKernel)) return ON_CPU.yes;
		if (this.#nonpreemptible && this.#isInStep(kernel, slot)) return ON_CPU.yes;
		const firstIdle = this.#world.names.length - this.#cpus;
		if (this.#model.idleSleeps && slot >= firstIdle) return idleIsBusy(kernel, slot - firstIdle);
		if (slot !== this.#other && !this.active.includes(slot)) return ON_CPU.no;
		if (!this.#is(position, slot, TASK.mayRun)) return ON_CPU.no;
		const others = this.#nonpreemptible ? kernel.actorsOnCpu - (kernel.onCpu[actor] ? 1 : 0) : 0;
		return this.#countInKernel(position) + others + 1 < this.#cpus ? ON_CPU.either : ON_CPU.no;
	}

	// ---- "What a schedule decides": time ----

	/** The kworker's work may have been tried often enough for signals, and signals would change something. */
	mayBeLate(kernel: KernelState, position: Position, actor: number): boolean {
		const worker = actor === kernel.next.length - 1;
		return worker && kernel.retries && !kernel.onCpu[actor] && this.#isTaskAsleep(position);
	}

	#isTaskAsleep(position: Position): boolean {
		const wanted = TASK.asleep | TASK.interruptible;
		return this.active.some((slot) => this.#is(position, slot, wanted));
	}

	// ---- "What is left out, and why nothing is lost" ----

	/** True if no other task or actor must make a move before the next point of `actor`. `changed`: it has changed a task. */
	goesStraightOn(actor: number, outcome: Outcome, changed: boolean): boolean {
		const { kind, reads } = outcome.effect;
		// At a place, the step has had no effect yet.
		if (kind === "place") return true;
		if (!this.#on) return false;
		return kind === "turn" || (!changed && reads.length === 0 && isUnseen(actor, outcome));
	}
}

/** If no task runs, an idle task is on its CPU unless an actor is: the actors use the first CPUs. */
function idleIsBusy(kernel: KernelState, cpu: number): number {
	return cpu >= Math.max(kernel.actorsOnCpu, 1) ? ON_CPU.yes : ON_CPU.no;
}

/** Paragraph 2: steps that no task and no other actor can see. */
function isUnseen(actor: number, { from, to }: Outcome): boolean {
	// An operation that begins with a wait may never get further.
	if (to.inKernel[actor]?.waits && from.inKernel[actor] === undefined) return false;
	const alone = from.mutexHeld && to.mutexHeld && from.outOfTheWay.every((out, other) => out || other === actor);
	// It has queued a work, or given tasklist_lock back: that another one has a step now can be seen.
	if (to.next.some((next, other) => other !== actor && next !== undefined && from.next[other] === undefined))
		return false;
	return alone && to.text === from.text && to.next[actor] !== undefined;
}
