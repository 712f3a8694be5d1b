import { KlpemuError } from "../../base/index.js";
import { decisiveWords, type GuestContext, type TaskOutcome, type TaskState, type World } from "../world/index.js";
import type { KernelState } from "./kernel-state.js";

/** Moves that a task makes on its own until its loop counts as one that does not end. */
const FOLLOWED = 10_000;

/** A task, in one state of it and of the kernel. */
export interface TaskPlace {
	readonly from: KernelState;
	readonly slot: number;
	readonly state: TaskState;
}

/** Where a task goes different ways. */
interface Parting {
	readonly state: TaskState;
	readonly one: GuestContext;
	readonly other: GuestContext;
	readonly labels: readonly [string, string];
}

/**
 * Loops that count, and other guest code whose way depends on data. States do not hold the data of tasks; where two tasks of the same state
 * go different ways, the words of registers and stack that decide are found by trying mixtures of the two, and become a part of the
 * states at that place. The exploration begins again with them.
 */
export class Loops {
	readonly #world: World;
	/** Makes the move of a task. */
	readonly #run: (place: TaskPlace, context?: GuestContext) => TaskOutcome;

	constructor(world: World, run: (place: TaskPlace, context?: GuestContext) => TaskOutcome) {
		this.#world = world;
		this.#run = run;
	}

	/** With these two contexts the task goes different ways, `labels`. */
	tellApart(place: TaskPlace, one: GuestContext, other: GuestContext, labels: readonly [string, string]): void {
		const { states, names } = this.#world;
		const { slot, state } = place;
		if (states.decisive.tellsApart(state.place, one, other)) return;
		const words = this.#alone(() => decisiveWords(one, other, (context) => this.#whereTo(place, context)));
		if (words !== undefined) {
			states.find(state, words);
			return;
		}
		// The result says so already.
		if (this.#world.shared.lost !== undefined) return;
		const where = `${names[slot]} ${labels.join(", or ")}`;
		throw new KlpemuError("EXPLORE_DATA", `where a task goes depends on data that states do not hold: ${where}`, {
			hint: "a branch on memory that tasks write cannot be explored; registers and stacks can",
		});
	}

	/** Undefined: a mixture of two contexts can make code do what it never does. */
	#whereTo(place: TaskPlace, context: GuestContext): TaskState | undefined {
		try {
			return this.#run(place, context).state;
		} catch (error) {
			if (error instanceof KlpemuError) return undefined;
			throw error;
		}
	}

	/** What is reached meanwhile is not what the search has reached. */
	#alone<T>(action: () => T): T {
		const { states } = this.#world;
		states.following = true;
		try {
			return action();
		} finally {
			states.following = false;
		}
	}

	/** Lets the task go on alone, until data makes it go another way than in an earlier turn. */
	follow(place: TaskPlace, context: GuestContext): void {
		const { states } = this.#world;
		if (states.followed.has(place.state.place)) return;
		const parting = this.#alone(() => this.#parting(place, context));
		if (parting === undefined) return;
		const { state, one, other, labels } = parting;
		this.tellApart({ ...place, state }, one, other, labels);
	}

	/** Undefined: there is none. An error counts when the search comes to that move. */
	#parting(place: TaskPlace, context: GuestContext): Parting | undefined {
		try {
			return this.#goOn(place, context);
		} catch (error) {
			if (error instanceof KlpemuError) return undefined;
			throw error;
		}
	}

	#goOn(place: TaskPlace, context: GuestContext): Parting | undefined {
		const { states } = this.#world;
		const seen = new Map<TaskState, { readonly context: GuestContext; readonly outcome: TaskOutcome }>();
		// What holds for one turn of the loop holds for each place in it.
		let { state } = place;
		let now = context;
		for (let move = 0; move < FOLLOWED; move++) {
			const outcome = move === 0 ? this.#run(place, context) : this.#world.moveTask(place.slot);
			states.followed.add(state.place);
			const known = seen.get(state);
			if (known === undefined) seen.set(state, { context: now, outcome });
			else if (known.outcome.state !== outcome.state) {
				return { state, one: known.context, other: now, labels: [known.outcome.label, outcome.label] };
			}
			state = outcome.state;
			now = states.last!;
			// It has left the kernel, and its data is gone.
			if (outcome.broken.length > 0 || !state.alive || state.fields.mode !== "kernel") return undefined;
		}
		return undefined;
	}
}
