import type { Effect, TaskStates, Written } from "../world/index.js";
import type { Question } from "./columns.js";
import type { KernelState } from "./kernel-state.js";
import type { Position } from "./trace.js";

/** What a step has done to the tasks, as bits. */
export const CHANGED = {
	/** It has changed at least one. */
	some: 1,
	/** The change of at least one breaks an invariant. */
	badly: 2,
} as const;
/** Beside them: the state of the task has stayed the same. */
const SAME = 4;

/** The next state of a task, as its number, and the bits of {@link CHANGED}, and {@link SAME}. */
interface Change {
	readonly to: number;
	readonly bits: number;
}

/** A task that a step writes. */
interface Write {
	readonly slot: number;
	/** The fields that it writes; a number: the task's next state, whatever it was before. */
	readonly what: Written | number;
	/** The change by the task's state: each is computed once. */
	readonly known: Map<number, Change>;
	readonly bits: Question;
}

/** True if the change of one task in a step breaks no invariant; `before` and `after` are numbers of task states. */
export type IsFine = (outcome: Outcome, slot: number, before: number, after: number) => boolean;

/** One possible result of an actor's next step, for all states in which it reads the same values from tasks. */
export class Outcome {
	readonly from: KernelState;
	readonly to: KernelState;
	readonly effect: Effect;
	/** Slots of tasks that were on a CPU when it read on_cpu. */
	readonly busy: readonly number[];
	readonly #states: TaskStates;
	readonly #isFine: IsFine;
	readonly #writes: readonly Write[];

	constructor(from: KernelState, to: KernelState, effect: Effect, states: TaskStates, isFine: IsFine) {
		this.from = from;
		this.to = to;
		this.effect = effect;
		const busy = effect.reads.filter(({ field, value }) => field === "on_cpu" && value === true);
		this.busy = busy.map(({ slot }) => slot);
		this.#states = states;
		this.#isFine = isFine;
		const writes = new Map<number, Written | number>(effect.writes);
		for (const [slot, state] of effect.replaced) writes.set(slot, state.id);
		this.#writes = [...writes].map(([slot, what]) => {
			const write: Write = { slot, what, known: new Map(), bits: { at: (id) => this.#changeOf(write, id).bits } };
			return write;
		});
	}

	/** Makes the step: `position` is the state before it, and then the one after it. Returns bits of {@link CHANGED}. */
	apply(position: Position): number {
		position.setKernel(this.to);
		let bits = 0;
		for (const write of this.#writes) {
			const { slot } = write;
			const before = position.row[slot + 1]!;
			// Whether it stays the same decides what the judge looks at.
			bits |= position.ask(slot, write.bits) & ~SAME;
			position.change(slot, this.#changeOf(write, before).to, write);
		}
		return bits;
	}

	#changeOf(write: Write, before: number): Change {
		let change = write.known.get(before);
		if (change === undefined) {
			change = this.#change(write, before);
			write.known.set(before, change);
		}
		return change;
	}

	#change({ slot, what }: Write, before: number): Change {
		const state = this.#states.all[before]!;
		let to = before;
		if (typeof what === "number") to = what;
		else if (state.alive) to = this.#states.withFields(state, what).id;
		if (to === before && typeof what !== "number") return { to, bits: SAME };
		const bits = CHANGED.some | (this.#isFine(this, slot, before, to) ? 0 : CHANGED.badly);
		return { to, bits: to === before ? bits | SAME : bits };
	}
}
