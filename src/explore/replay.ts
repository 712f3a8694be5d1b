import { KlpemuError } from "../base/index.js";
import { type Broken, type Invariant, judgeStep, judgeTask, type Look, lookAt } from "../consistency/index.js";
import type { Model } from "./model.js";
import type { Move } from "./schedule.js";
import { type SavedWorld, type TaskState, World } from "./world/index.js";

/** A state as it is judged. */
export interface Judged {
	readonly kernel: Look;
	/** By slot. */
	readonly tasks: readonly TaskState[];
}

/** What a move did. */
export interface Replayed {
	readonly move: Move;
	/** The administrator's step that it is part of: `insmod lp3`. Undefined for tasks. */
	readonly title: string | undefined;
	/** The points it passed, the last one included. */
	readonly points: readonly string[];
	/** Those of them that a story tells of. */
	readonly told: readonly string[];
	readonly before: Judged;
	readonly after: Judged;
	readonly broken: readonly Broken[];
}

/** What making a move gives. */
type Made = Pick<Replayed, "points" | "told" | "broken">;

/** Makes the moves of schedules for real, on the model's machine, each time from its beginning. */
export class Replayer {
	readonly world: World;
	readonly #saved: SavedWorld;
	readonly #tasks: readonly TaskState[];
	/** What there is to be seen after the last move. */
	#now: Judged;

	constructor(model: Model) {
		this.world = new World(model);
		this.#saved = this.world.save();
		this.#tasks = this.world.allLoaded();
		this.#now = this.#look();
	}

	/** Up to the first broken invariant among `invariants`. Throws `REPLAY_IMPOSSIBLE` when a move cannot be made. */
	replay(moves: readonly Move[], invariants: ReadonlySet<Invariant>): Replayed[] {
		this.world.restore(this.#saved);
		this.world.loadAll(this.#tasks);
		this.#now = this.#look();
		const done: Replayed[] = [];
		for (const [index, move] of moves.entries()) {
			const replayed = this.#move(move, index, invariants);
			done.push(replayed);
			if (replayed.broken.length > 0) break;
		}
		return done;
	}

	#move(move: Move, index: number, invariants: ReadonlySet<Invariant>): Replayed {
		const { world } = this;
		const before = this.#now;
		const actor = world.actors.findIndex(({ name }) => name === move.who);
		const title = actor < 0 ? undefined : world.nextStep(actor);
		const { points, told, broken } =
			actor < 0 ? this.#moveTask(move, index) : this.#moveActor(move, index, actor, invariants);
		return {
			move,
			title,
			points,
			told,
			before,
			after: this.#now,
			broken: broken.filter(({ invariant }) => invariants.has(invariant)),
		};
	}

	#look(): Judged {
		const { model, transition } = this.world;
		return { kernel: lookAt(model.machine, model.functions, transition), tasks: this.world.allLoaded() };
	}

	#moveTask({ who }: Move, index: number): Made {
		const { world } = this;
		const slot = world.names.indexOf(who);
		const state = slot < 0 ? undefined : world.loaded(slot);
		if (state === undefined || !state.alive || state.fields.held)
			throw impossible(index, who, "it is not there, or asleep");
		const { kernel } = this.#now;
		const { state: next, label, broken } = world.moveTask(slot);
		this.#now = this.#look();
		const step = { functions: world.model.functions, from: kernel, to: this.#now.kernel };
		return { points: [label], told: [label], broken: [...broken, ...judgeTask(step, who, state, next)] };
	}

	#moveActor({ who, steps, busy, late }: Move, index: number, actor: number, invariants: ReadonlySet<Invariant>): Made {
		const { world } = this;
		const points: string[] = [];
		const told: string[] = [];
		for (let step = 0; step < steps; step++) {
			if (world.nextStep(actor) === undefined) throw impossible(index, who, "it has nothing to do");
			const from = this.#now;
			const slots = busy.filter((entry) => entry.step === step).map(({ task }) => world.slot(task));
			const effect = world.moveActor(actor, new Set(slots), late && step === 0);
			if (effect.kind === "blocked") throw impossible(index, who, "it waits for somebody");
			if (effect.kind !== "place") points.push(effect.label);
			if (effect.kind !== "place" && !effect.quiet) told.push(effect.label);
			this.#now = this.#look();
			const judged = { functions: world.model.functions, from: from.kernel, to: this.#now.kernel };
			const completed = effect.kind === "done";
			const broken = [...effect.broken, ...judgeStep(judged, world.judged, from.tasks, this.#now.tasks, completed)];
			if (broken.some(({ invariant }) => invariants.has(invariant))) return { points, told, broken };
		}
		return { points, told, broken: [] };
	}
}

function impossible(index: number, who: string, why: string): KlpemuError {
	return new KlpemuError("REPLAY_IMPOSSIBLE", `move ${index + 1}: ${who} cannot make it, ${why}`, {
		hint: "the schedule is of another scenario, design or version of klpemu",
	});
}

/**
 * Leaves out whatever is not needed to break the same invariant, until nothing more can be left out. `stuck` is no matter of
 * the last move: a schedule for it stays as it is.
 */
export function minimise(replayer: Replayer, moves: readonly Move[], invariant: Invariant): Move[] {
	const breaks = (candidate: readonly Move[]): Move[] | undefined => {
		try {
			const done = replayer.replay(candidate, new Set([invariant]));
			return done.at(-1)?.broken.length ? done.map(({ move }) => move) : undefined;
		} catch (error) {
			if (error instanceof KlpemuError) return undefined;
			throw error;
		}
	};
	let best = [...moves];
	for (let changed = invariant !== "stuck"; changed; ) {
		changed = false;
		for (let i = best.length - 1; i >= 0; i--) {
			const shorter = breaks([...best.slice(0, i), ...best.slice(i + 1)]);
			if (shorter === undefined) continue;
			best = shorter;
			changed = true;
			i = Math.min(i, best.length);
		}
	}
	return best;
}
