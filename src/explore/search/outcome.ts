import type { Effect, TaskStates, Written } from "../world/index.js";
import type { Row } from "./columns.js";
import type { KernelState } from "./kernel-state.js";

/** What a step has done to the tasks, as bits. */
export const CHANGED = {
	/** It has changed at least one. */
	some: 1,
	/** The change of at least one breaks an invariant. */
	badly: 2,
} as const;

/** The next state of a task, as its number, and the bits of {@link CHANGED}. */
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
		this.#writes = [...writes].map(([slot, what]) => ({ slot, what, known: new Map() }));
	}

	/** Writes the state after the step to `next`. Returns bits of {@link CHANGED}. */
	apply(row: Row, next: Row): number {
		next.set(row);
		next[0] = this.to.id;
		let bits = 0;
		for (const write of this.#writes) {
			const before = row[write.slot + 1]!;
			let change = write.known.get(before);
			if (change === undefined) {
				change = this.#change(write, before);
				write.known.set(before, change);
			}
			next[write.slot + 1] = change.to;
			bits |= change.bits;
		}
		return bits;
	}

	#change({ slot, what }: Write, before: number): Change {
		const state = this.#states.all[before]!;
		let to = before;
		if (typeof what === "number") to = what;
		else if (state.alive) to = this.#states.withFields(state, what).id;
		if (to === before && typeof what !== "number") return { to, bits: 0 };
		return { to, bits: CHANGED.some | (this.#isFine(this, slot, before, to) ? 0 : CHANGED.badly) };
	}
}
