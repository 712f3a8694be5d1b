import type { Asked, DesignAsks } from "../asks.js";
import type { Effect, World } from "../world/index.js";
import {
	effectOf,
	entryOf,
	isAsRead,
	kernelContent,
	type MadeStep,
	type SentEffect,
	type SentNotes,
	sentEffect,
} from "./executions.js";
import type { KernelContent, KernelState, Via } from "./kernel-state.js";
import type { ExplorationMoves } from "./plain-moves.js";

/** Of a kernel state, under the design of one exploration. */
export interface Place {
	/** {@link ExplorationMoves.seen} */
	readonly seen: number;
	/** The two parts of its key: all but the values that only designs read, and those. */
	readonly key: string;
	readonly fields: string;
	/**
	 * Of each actor, what the design has answered since its step began: with other answers its code may hold other values.
	 */
	readonly answers: readonly string[];
}

interface PlainStep extends SentEffect {
	/** What the design was asked for. */
	readonly members: Asked["members"];
	readonly answers: string;
	/** The actor is not in the middle of a step any more. */
	readonly ended: boolean;
	/** Undefined: the actor must wait, or a task has died. */
	readonly to: { readonly content: KernelContent; readonly seen: number; readonly key: string } | undefined;
	readonly notes: SentNotes;
}

/**
 * Steps of actors that explorations of one scenario have made, each under a design of its own. Kernel code depends on the design by what
 * it asks it for: a step is the same under each design that has these members, too, if no field of a patch was read.
 */
export class PlainSteps {
	readonly #steps = new Map<string, PlainStep[]>();
	/** How many were taken. */
	taken = 0;

	/** For one exploration; undefined: what its design is asked for is not known. */
	begin(world: World, moves: ExplorationMoves): ExplorationSteps | undefined {
		const { asks } = world.model;
		return asks && new ExplorationSteps(this, world, moves, asks);
	}

	/** The list of the steps of an actor from a place. */
	from({ seen, key, answers }: Place, { actor, late }: Via): PlainStep[] {
		return entryOf(this.#steps, [seen, key, ...answers, actor, late].join(), () => []);
	}
}

/** {@link PlainSteps}, for one exploration. */
export class ExplorationSteps {
	readonly #all: PlainSteps;
	readonly #world: World;
	readonly #moves: ExplorationMoves;
	readonly #asks: DesignAsks;
	/** By kernel state. */
	readonly #places: Place[] = [];
	#answers = "";

	constructor(all: PlainSteps, world: World, moves: ExplorationMoves, asks: DesignAsks) {
		this.#all = all;
		this.#world = world;
		this.#moves = moves;
		this.#asks = asks;
	}

	/** The state in which the exploration begins. */
	start(state: KernelState): void {
		this.#places[state.id] = { ...this.#lookAt(state), answers: this.#world.actors.map(() => "") };
	}

	/** The next step begins. */
	begin(): void {
		this.#world.shared.beginNotes();
		this.#world.model.notes?.take();
		this.#asks.begin();
	}

	/** It has ended, and the world was not looked at yet. */
	end(): void {
		this.#answers = this.#asks.asked.answers;
	}

	/** Keeps the step that has ended. The world is in `to`. */
	add(via: Via, effect: Effect, to: KernelState | undefined): void {
		const { shared, model } = this.#world;
		const memory = shared.endNotes();
		const notes = model.notes?.take() ?? [];
		const from = this.#places[via.from.id]!;
		const there = to && this.#lookAt(to);
		const answered = { answers: this.#answers, ended: !this.#world.actors[via.actor]!.inStep };
		if (there !== undefined) this.#places[to!.id] ??= { ...there, answers: after(from, via, answered) };
		const { members, fields } = this.#asks.asked;
		if (fields || (there !== undefined && there.fields !== from.fields)) return;
		// What was not known when the step began may have changed its way.
		if (memory === undefined || !this.#moves.isValid || !shared.isAsKnown(memory)) return;
		this.#all.from(from, via).push({
			...sentEffect(effect),
			...{ members, ...answered, notes: { memory, model: notes } },
			to: there && { content: kernelContent(to!), seen: there.seen, key: there.key },
		});
	}

	/** A step that another exploration has made; undefined: there is none. */
	find(via: Via): (MadeStep & { readonly place?: Place }) | undefined {
		if (!this.#moves.isValid) return undefined;
		const world = this.#world;
		const from = this.#places[via.from.id]!;
		const found = this.#all.from(from, via).find(({ members, effect, notes }) => {
			return isAsRead(effect.reads, via) && this.#asks.has(members) && world.shared.isAsKnown(notes.memory);
		});
		if (found === undefined) return undefined;
		this.#all.taken++;
		const effect = effectOf(found, via, world);
		if (found.to === undefined) return { effect, to: undefined };
		const { content, seen, key } = found.to;
		const place = { seen, key, fields: from.fields, answers: after(from, via, found) };
		return { effect, to: { ...content, key: `${key}~${from.fields}` }, place };
	}

	/** The exploration has come to a state by a step of another one. */
	enter(state: KernelState, place: Place): void {
		this.#places[state.id] ??= place;
		this.#moves.enter(state, place.seen);
	}

	#lookAt(state: KernelState): Omit<Place, "answers"> {
		const end = state.key.lastIndexOf("~");
		return { seen: this.#moves.seen(state)!, key: state.key.slice(0, end), fields: state.key.slice(end + 1) };
	}
}

/** {@link Place.answers} behind a step. */
function after(before: Place, { actor }: Via, { answers, ended }: Pick<PlainStep, "answers" | "ended">): string[] {
	const more = answers === "" ? "" : `${answers};`;
	return before.answers.map((own, index) => (index !== actor ? own : ended ? "" : own + more));
}
