import type { Broken } from "../../consistency/index.js";
import type { Move } from "../schedule.js";
import type { Row } from "./columns.js";
import type { SearchLog } from "./journal.js";
import type { KernelState } from "./kernel-state.js";
import { KnownMoves, MOVE_KINDS, type MovesKind, SAME_KERNEL, SLOW, type Successor, UNKNOWN } from "./known-moves.js";
import type { Memo } from "./memo.js";
import type { Outcome } from "./outcome.js";
import type { Reduction } from "./reduction.js";
import { Position, Trace } from "./trace.js";

/** Limit of steps of one actor without a visible point: more of them are a bug of klpemu. */
const CHAIN = 100_000;

/** An actor's way through places from which it goes straight on. */
interface Chain {
	/** The state that it has reached. */
	readonly position: Position;
	/** Its steps, from the last one to the first. */
	readonly steps: Steps | undefined;
}
interface Steps {
	readonly outcome: Outcome;
	readonly before: Steps | undefined;
}

/** A move that is being visited: of a task (`steps` is undefined), or of an actor. */
interface Visited {
	/** Index of the actor that makes it, or -1 - slot of the task. */
	by: number;
	late: boolean;
	steps: Steps | undefined;
	/** Of a task's move. */
	label: string;
}

/** Called for each move, until it returns true. `next`, the state after it, is only valid during the call. */
export type Visit = (next: Row, broken: readonly Broken[]) => boolean;
type Found = (position: Position, broken: readonly Broken[]) => void;

/** Stands for the moves of tasks in all kernel states in which they are the same. */
interface TasksAlike {
	/** 0: a task's move breaks no invariant. */
	readonly verdicts: object;
	readonly moves: object;
}

/** The possible moves in a state. */
export class Moves {
	readonly #memo: Memo;
	readonly #reduction: Reduction;
	/** The state after a move. */
	readonly #next: Row;
	/** Numbers of a row. */
	readonly #width: number;
	readonly #visited: Visited = { by: 0, late: false, steps: undefined, label: "" };
	readonly known: KnownMoves;
	readonly #alike = new Map<string, TasksAlike>();
	readonly #tasksAlike: TasksAlike[] = [];
	/** Of all that is executed. */
	readonly #log: SearchLog | undefined;

	/** `size`: of the rows that are visited; what is behind the row itself is the caller's. `shared`: other threads can look into what is known. */
	constructor(
		memo: Memo,
		reduction: Reduction,
		size: number,
		{ log, shared }: { readonly log?: SearchLog | undefined; readonly shared?: boolean } = {},
	) {
		this.#log = log;
		this.known = new KnownMoves(shared);
		this.#memo = memo;
		this.#reduction = reduction;
		this.#next = new Int32Array(size);
		this.#width = memo.world.names.length + 1;
	}

	/** The moves of tasks, or of actors. What is known of other states is used. */
	visit(kind: MovesKind, row: Row, visit: Visit): void {
		const { known } = this;
		const next = this.#next;
		let leaf = known.leaf(kind, row);
		if (leaf === UNKNOWN) leaf = this.#learnNew(kind, row);
		if (leaf === SLOW) {
			this.visitSlowly(kind, row, visit);
			return;
		}
		for (let i = 0; i < this.#width; i++) next[i] = row[i]!;
		let at = leaf + 1;
		for (let left = known.words[leaf]!; left > 0; left--) {
			let behind = known.apply(at, row, next);
			if (behind === UNKNOWN) {
				this.#learnNew(kind, row);
				behind = known.apply(at, row, next);
			}
			if (visit(next, NONE)) return;
			known.undo(at, row, next);
			at = behind;
		}
	}

	/** The same, and {@link describe} can be called meanwhile. */
	visitSlowly(kind: MovesKind, row: Row, visit: Visit): void {
		const next = this.#next;
		let isOver = false;
		this.#find(kind, this.#positionOf(row, new Trace()), ({ row: found }, broken) => {
			if (isOver) return;
			next.set(found);
			isOver = visit(next, broken);
		});
	}

	/** The move that leads from one state to another. */
	between(from: Row, to: Row): Move {
		const found: Move[] = [];
		for (const kind of MOVE_KINDS) {
			if (found.length > 0) break;
			this.visitSlowly(kind, from, (next) => {
				if (isSame(next, to, this.#width)) found.push(this.describe());
				return found.length > 0;
			});
		}
		if (found[0] === undefined) throw new Error("internal error: a state cannot be reached from its parent any more");
		return found[0];
	}

	/** True if code may have to be executed to find the moves. */
	isUnknown(kind: MovesKind, row: Row): boolean {
		return this.known.leaf(kind, row) === UNKNOWN;
	}

	#learnNew(kind: MovesKind, row: Row): number {
		this.#log?.moves(kind, row);
		return this.learn(kind, row);
	}

	/** Finds the moves, executing what has never been executed, and keeps them. Returns their leaf. */
	learn(kind: MovesKind, row: Row): number {
		const { known } = this;
		const kernel = this.#memo.states[row[0]!]!;
		if (!known.hasTree(kind, kernel.id)) {
			known.giveTree(kind, kernel.id, kind === "ofTasks" ? this.#alikeTo(kernel) : kernel);
		}
		const trace = new Trace();
		const successors: (Successor & { readonly row: Row })[] = [];
		let isFine = true;
		this.#find(kind, this.#positionOf(row, trace), (position, broken) => {
			if (broken.length > 0) isFine = false;
			const to = kind === "ofTasks" ? SAME_KERNEL : position.row[0]!;
			successors.push({ kernel: to, changes: position.changes(), row: position.row });
		});
		known.learn(kind, row, trace.asked, isFine && !trace.opaque ? successors : undefined);
		return known.leaf(kind, row);
	}

	#positionOf(row: Row, trace: Trace): Position {
		return new Position(row.subarray(0, this.#width), trace);
	}

	#find(kind: MovesKind, position: Position, found: Found): void {
		if (kind === "ofTasks") this.#ofTasks(position, found);
		else this.#ofActors(position, found);
	}

	// ---- tasks ----

	#alikeTo(kernel: KernelState): TasksAlike {
		const known = this.#tasksAlike[kernel.id];
		if (known !== undefined) return known;
		const { text, look, actorsOnCpu } = kernel;
		const key = [text, look, actorsOnCpu, ...this.#reduction.unhindered(kernel)].join();
		const alike = this.#alike.get(key) ?? { verdicts: {}, moves: {} };
		this.#alike.set(key, alike);
		this.#tasksAlike[kernel.id] = alike;
		return alike;
	}

	#ofTasks(position: Position, found: Found): void {
		const { states, judge } = this.#memo;
		const kernel = states[position.row[0]!]!;
		const { moves, verdicts } = this.#alikeTo(kernel);
		for (const slot of this.#reduction.tasksThatMove(kernel, position)) {
			const before = position.row[slot + 1]!;
			const move = this.#memo.moveTask(kernel, slot, before);
			const broken = judge.ofTaskMove(kernel, slot, before, move);
			position.note(slot, verdicts, Math.min(broken.length, 1));
			const next = position.copy();
			next.change(slot, move.to, moves);
			this.#visited.by = -1 - slot;
			this.#visited.late = false;
			this.#visited.steps = undefined;
			this.#visited.label = move.outcome.label;
			found(next, broken);
		}
	}

	// ---- actors ----

	#ofActors(position: Position, found: Found): void {
		const kernel = this.#memo.states[position.row[0]!]!;
		for (const actor of this.#reduction.actorsThatMove(kernel, position)) {
			this.#ofActor(position, actor, false, found);
			if (this.#reduction.mayBeLate(kernel, position, actor)) this.#ofActor(position, actor, true, found);
		}
	}

	#ofActor(from: Position, actor: number, late: boolean, found: Found): void {
		const open: Chain[] = [{ position: from, steps: undefined }];
		let turns = 0;
		for (let chain = open.pop(); chain !== undefined; chain = open.pop()) {
			if (turns++ > CHAIN) {
				const { name } = this.#memo.world.actors[actor]!;
				throw new Error(`internal error: '${name}' made ${CHAIN} steps without a visible point`);
			}
			const { position, steps: before } = chain;
			const at = this.#memo.states[position.row[0]!]!;
			for (const outcome of this.#memo.step(at, actor, late && before === undefined, position, this.#reduction)) {
				const next = position.copy();
				const changed = outcome.apply(next);
				const broken = this.#memo.judge.ofStep(outcome, position.row, next, changed);
				const steps = { outcome, before };
				if (broken.length === 0 && this.#reduction.goesStraightOn(actor, outcome, changed !== 0)) {
					open.push({ position: next, steps });
					continue;
				}
				this.#visited.by = actor;
				this.#visited.late = late;
				this.#visited.steps = steps;
				found(next, broken);
			}
		}
	}

	/** The move that is being visited slowly, in the form of a schedule. */
	describe(): Move {
		const { names, actors } = this.#memo.world;
		const { by, late, label } = this.#visited;
		if (by < 0) return { who: names[-1 - by]!, steps: 1, busy: [], late, label };
		const outcomes: Outcome[] = [];
		for (let at = this.#visited.steps; at !== undefined; at = at.before) outcomes.unshift(at.outcome);
		const visible = outcomes.findLast(({ effect }) => effect.kind !== "place");
		return {
			who: actors[by]!.name,
			steps: outcomes.length,
			busy: outcomes.flatMap(({ busy }, step) => busy.map((slot) => ({ step, task: names[slot]! }))),
			late,
			label: visible?.effect.label ?? "",
		};
	}
}

/** True if two rows of this width are equal. */
export function isSame(row: Row, other: Row, width: number): boolean {
	for (let i = 0; i < width; i++) if (row[i] !== other[i]) return false;
	return true;
}

const NONE: readonly never[] = [];
