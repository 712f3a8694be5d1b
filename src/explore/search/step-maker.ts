import { KlpemuError } from "../../base/index.js";
import { INVARIANTS } from "../../consistency/index.js";
import type { Model } from "../model.js";
import { type Effect, type KnownMemory, World } from "../world/index.js";
import { type SentStep, sentEffect } from "./executions.js";
import type { KernelState, Via } from "./kernel-state.js";
import { Memo } from "./memo.js";

/** What an exploration has known when it began. Plain data. */
export interface KnownAtBegin {
	readonly memory: KnownMemory;
	readonly decisive: ReadonlyMap<string, readonly number[]>;
	readonly watched: readonly string[];
}

/** What an exploration knows that begins now in this world. */
export function knownAtBegin({ shared, states, model }: World): KnownAtBegin {
	return { memory: shared.known(), decisive: states.decisive.known(), watched: model.notes?.watched() ?? [] };
}

/** A world of its own, in which steps of actors are executed for a search. What each has done is kept as plain data. */
export class StepMaker {
	readonly #world: World;
	#memo: Memo;
	/** Keys of the kernel states that were told. */
	#told = new Set<string>();
	#made: SentStep[] = [];
	#hasEnded = false;
	/** Number of watched functions when the exploration began. */
	#watched = 0;

	constructor(model: Model) {
		this.#world = new World(model);
		this.#memo = this.#newMemo();
	}

	/** Of the present exploration. */
	get memo(): Memo {
		return this.#memo;
	}

	/** It cannot execute any more in this exploration. */
	get hasEnded(): boolean {
		return this.#hasEnded;
	}

	/** Number of steps that {@link take} would give. */
	get count(): number {
		return this.#made.length;
	}

	begin({ memory, decisive, watched }: KnownAtBegin): void {
		const world = this.#world;
		world.model.notes?.watch(watched);
		this.#watched = world.model.functions.length;
		world.restart();
		world.shared.beginWith(memory);
		world.states.decisive.beginWith(decisive);
		world.model.notes?.take();
		this.#memo = this.#newMemo();
		this.#told = new Set();
		this.#made = [];
		this.#hasEnded = false;
	}

	/** Executes. An error ends it: the search comes to it, too. */
	try(execute: () => void): void {
		if (this.#hasEnded) return;
		try {
			execute();
		} catch (error) {
			if (!(error instanceof KlpemuError)) throw error;
			this.#hasEnded = true;
		}
	}

	/** The steps that were executed since the last call. */
	take(): SentStep[] {
		const steps = this.#made;
		this.#made = [];
		return steps;
	}

	#newMemo(): Memo {
		const recorder = {
			begin: () => void this.#notes(),
			step: (via: Via, effect: Effect, to: KernelState | undefined) => this.#noteStep(via, effect, to),
		};
		return new Memo(this.#world, new Set(INVARIANTS), { recorder });
	}

	/** What follows is not as in the search, until that has found the same. */
	get #isStrange(): boolean {
		const { model, hasUnknown } = this.#world;
		return model.functions.length !== this.#watched || hasUnknown;
	}

	#notes(): SentStep["notes"] {
		return { memory: this.#world.shared.takeNotes(), model: this.#world.model.notes?.take() ?? [] };
	}

	#noteStep({ from, actor, late }: Via, effect: Effect, to: KernelState | undefined): void {
		const notes = this.#notes();
		if (this.#isStrange) this.#hasEnded = true;
		if (this.#hasEnded) return;
		const known = to && (this.#told.has(to.key) ? to.key : to.content);
		this.#made.push({ from: from.key, actor, late, ...sentEffect(effect), notes, to: known });
		if (to !== undefined) this.#told.add(to.key);
	}
}
