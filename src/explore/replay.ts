import { KlpemuError } from "../base/index.js";
import { type Broken, type Invariant, judgeStep, judgeTask, type Look, lookAt } from "../consistency/index.js";
import type { task_struct } from "../linux/sched/index.js";
import type { Model } from "./model.js";
import type { Move } from "./schedule.js";
import { type SourcePlace, sourcePlace, withPlace } from "./source-place.js";
import { type KeptWorld, type TaskState, World } from "./world/index.js";

/** A state, with the data that the invariants need. */
export interface Judged {
	readonly kernel: Look;
	/** By slot. */
	readonly tasks: readonly TaskState[];
}

/** The effect of a move. */
export interface Replayed {
	readonly move: Move;
	/** The administrator's step to which it belongs: `insmod lp3`. Undefined for tasks. */
	readonly title: string | undefined;
	/** The points that it passed, with the last one. */
	readonly points: readonly string[];
	/** Of each of these, where guest code stands in its source; undefined: nowhere, or no line is known. */
	readonly places: readonly (SourcePlace | undefined)[];
	/** The points that a story shows, with their places. */
	readonly told: readonly string[];
	readonly before: Judged;
	readonly after: Judged;
	readonly broken: readonly Broken[];
}

/** Told of the moves of a replay as they are made. */
export interface MoveObserver {
	/** The world is in its initial state. */
	start(world: World): void;
	/** `task`: the process that moves. */
	begin(move: Move, title: string | undefined, task: task_struct | undefined): void;
	point(label: string): void;
	end(replayed: Replayed): void;
}

/** Result of a move. */
type Made = Pick<Replayed, "points" | "places" | "told" | "broken">;

/** A state between two operations, to which the first `count` moves of the last replay lead. */
interface Halt {
	readonly count: number;
	readonly world: KeptWorld;
	readonly now: Judged;
}

/**
 * Executes the moves of schedules on the model's machine (`world`: one that is there already), each time from its initial state, or as
 * if: what begins with the same moves as the last replay goes on from a state that was kept there.
 */
export class Replayer {
	readonly world: World;
	/** The moves of the last replay, and for which invariants it was. */
	#done: Replayed[] = [];
	#invariants = "";
	readonly #halts: Halt[] = [];
	/** The state after the last move. */
	#now: Judged;
	#observer: MoveObserver | undefined = undefined;

	/** `points`: of the schedules (see Schedule.points). */
	constructor(model: Model, points: readonly string[] = [], world = new World(model, points)) {
		this.world = world;
		this.#now = this.#look();
	}

	/** Up to the first broken invariant among `invariants`. Throws `REPLAY_IMPOSSIBLE` when a move cannot be made. */
	replay(moves: readonly Move[], invariants: ReadonlySet<Invariant>, observer?: MoveObserver): Replayed[] {
		const known = this.#knownMoves(moves, invariants);
		// An observer sees all of them.
		this.#goTo(observer === undefined ? known : 0);
		this.#observer = observer;
		observer?.start(this.world);
		const done = this.#done;
		for (let index = done.length; index < moves.length; index++) {
			const replayed = this.#move(moves[index]!, index, invariants);
			done.push(replayed);
			observer?.end(replayed);
			if (replayed.broken.length > 0) break;
			// What is replayed a second time will be replayed again.
			if (done.length <= known && this.world.quiet) {
				this.#halts.push({ count: done.length, world: this.world.keep(), now: this.#now });
			}
		}
		return done.slice();
	}

	/** How many moves are those of the last replay. */
	#knownMoves(moves: readonly Move[], invariants: ReadonlySet<Invariant>): number {
		const wanted = [...invariants].join();
		const isSame = wanted === this.#invariants;
		this.#invariants = wanted;
		if (!isSame) return 0;
		const other = this.#done.findIndex(({ move, broken }, index) => move !== moves[index] || broken.length > 0);
		return other < 0 ? this.#done.length : other;
	}

	/** Goes to the last state that was kept, at most `count` moves from the first one. */
	#goTo(count: number): void {
		while (this.#halts.length > 0 && this.#halts.at(-1)!.count > count) this.#halts.pop();
		const halt = this.#halts.at(-1);
		this.#done.length = halt?.count ?? 0;
		if (halt === undefined) this.world.rewind();
		else this.world.goBack(halt.world);
		this.#now = halt?.now ?? this.#look();
	}

	#move(move: Move, index: number, invariants: ReadonlySet<Invariant>): Replayed {
		const { world } = this;
		const before = this.#now;
		const actor = world.actors.findIndex(({ name }) => name === move.who);
		const title = actor < 0 ? undefined : world.nextStep(actor);
		const task = actor < 0 ? world.model.machine.sched.find(move.who) : world.actors[actor]!.task;
		this.#observer?.begin(move, title, task);
		const { points, places, told, broken } =
			actor < 0 ? this.#moveTask(move, index) : this.#moveActor(move, index, actor, invariants);
		return {
			move,
			title,
			points,
			places,
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
			throw impossible(index, who, "it does not exist, or it sleeps");
		const { kernel } = this.#now;
		const { state: next, label, broken } = world.moveTask(slot);
		const task = world.model.machine.sched.find(who);
		const place = task?.mode === "kernel" ? sourcePlace(world.model.machine, task) : undefined;
		const point = withPlace(label, place);
		this.#observer?.point(point);
		this.#now = this.#look();
		const step = { functions: world.model.functions, from: kernel, to: this.#now.kernel };
		return {
			points: [label],
			places: [place],
			told: [point],
			broken: [...broken, ...judgeTask(step, who, state, next)],
		};
	}

	#moveActor({ who, steps, busy, late }: Move, index: number, actor: number, invariants: ReadonlySet<Invariant>): Made {
		const { world } = this;
		const points: string[] = [];
		const places: (SourcePlace | undefined)[] = [];
		const told: string[] = [];
		for (let step = 0; step < steps; step++) {
			if (world.nextStep(actor) === undefined) throw impossible(index, who, "it has no next step");
			const from = this.#now;
			const slots = busy.filter((entry) => entry.step === step).map(({ task }) => world.slot(task));
			const effect = world.moveActor(actor, new Set(slots), late && step === 0);
			if (effect.kind === "blocked") throw impossible(index, who, "it waits for another task or actor");
			const place = this.#actorPlace(actor);
			const point = withPlace(effect.label, place);
			if (effect.kind !== "place") {
				points.push(effect.label);
				places.push(place);
				if (effect.kind !== "end") this.#observer?.point(point);
				if (!effect.quiet) told.push(point);
			}
			this.#now = this.#look();
			const judged = { functions: world.model.functions, from: from.kernel, to: this.#now.kernel };
			const completed = effect.kind === "done";
			const broken = [...effect.broken, ...judgeStep(judged, world.judged, from.tasks, this.#now.tasks, completed)];
			if (broken.some(({ invariant }) => invariants.has(invariant))) return { points, places, told, broken };
		}
		return { points, places, told, broken: [] };
	}

	/** Of an actor in guest code. */
	#actorPlace(index: number): SourcePlace | undefined {
		const { actors, model } = this.world;
		const { task, place } = actors[index]!;
		return place.inGuest > 0 ? sourcePlace(model.machine, task) : undefined;
	}
}

function impossible(index: number, who: string, why: string): KlpemuError {
	return new KlpemuError("REPLAY_IMPOSSIBLE", `move ${index + 1}: ${who} cannot make it, ${why}`, {
		hint: "the schedule is of another scenario, design or version of klpemu",
	});
}

/**
 * True if the invariant is about all that can follow a state. A replay makes the moves that lead to the state only, so that it cannot
 * see the violation.
 */
export function isEndless(invariant: Invariant): boolean {
	return invariant === "stuck" || invariant === "deadlock";
}

/** Tells what schedules break: a {@link Replayer}, or who knows without a machine. */
export interface Rehearser {
	/** Up to the first broken invariant among `invariants`. Throws `REPLAY_IMPOSSIBLE` when a move cannot be made. */
	replay(moves: readonly Move[], invariants: ReadonlySet<Invariant>): readonly Pick<Replayed, "move" | "broken">[];
}

/**
 * Removes moves that are not needed to break the same invariant, until no further move can be removed. A schedule for what
 * `isEndless()` is not changed: it does not depend on the last move only.
 */
export function minimise(replayer: Rehearser, moves: readonly Move[], invariant: Invariant): Move[] {
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
	for (let changed = !isEndless(invariant); changed; ) {
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
