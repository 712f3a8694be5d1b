import type { Broken } from "../../consistency/index.js";
import type { Move } from "../schedule.js";
import type { Row } from "./columns.js";
import type { Memo } from "./memo.js";
import type { Outcome } from "./outcome.js";
import type { Reduction } from "./reduction.js";

/** Limit of steps of one actor without a visible point: more of them are a bug of klpemu. */
const CHAIN = 100_000;

/** An actor's way through places from which it goes straight on. */
interface Chain {
	/** The state that it has reached. */
	readonly row: Row;
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

/** Called for each move. `row`, the state after it, is only valid during the call, and so is {@link Moves.describe}. */
export type Visit = (row: Row, broken: readonly Broken[]) => void;

/** The possible moves in a state. */
export class Moves {
	readonly #memo: Memo;
	readonly #reduction: Reduction;
	/** The state after a move. */
	readonly #next: Row;
	readonly #visited: Visited = { by: 0, late: false, steps: undefined, label: "" };

	constructor(memo: Memo, reduction: Reduction) {
		this.#memo = memo;
		this.#reduction = reduction;
		this.#next = new Int32Array(memo.world.names.length + 1);
	}

	all(row: Row, visit: Visit): void {
		this.ofTasks(row, visit);
		this.ofActors(row, visit);
	}

	ofTasks(row: Row, visit: Visit): void {
		const kernel = this.#memo.states[row[0]!]!;
		const next = this.#next;
		for (const slot of this.#reduction.tasksThatMove(kernel, row)) {
			const before = row[slot + 1]!;
			const move = this.#memo.moveTask(kernel, slot, before);
			next.set(row);
			next[slot + 1] = move.to;
			this.#visited.by = -1 - slot;
			this.#visited.late = false;
			this.#visited.steps = undefined;
			this.#visited.label = move.outcome.label;
			visit(next, this.#memo.judge.ofTaskMove(kernel, slot, before, move));
		}
	}

	ofActors(row: Row, visit: Visit): void {
		const kernel = this.#memo.states[row[0]!]!;
		for (const actor of this.#reduction.actorsThatMove(kernel, row)) {
			this.#ofActor(row, actor, false, visit);
			if (this.#reduction.mayBeLate(kernel, row, actor)) this.#ofActor(row, actor, true, visit);
		}
	}

	#ofActor(row: Row, actor: number, late: boolean, visit: Visit): void {
		const next = this.#next;
		const open: Chain[] = [{ row, steps: undefined }];
		let turns = 0;
		for (let chain = open.pop(); chain !== undefined; chain = open.pop()) {
			if (turns++ > CHAIN) {
				const { name } = this.#memo.world.actors[actor]!;
				throw new Error(`internal error: '${name}' made ${CHAIN} steps without a visible point`);
			}
			const at = this.#memo.states[chain.row[0]!]!;
			const before = chain.steps;
			for (const outcome of this.#memo.step(at, actor, late && before === undefined, chain.row, this.#reduction)) {
				const changed = outcome.apply(chain.row, next);
				const broken = this.#memo.judge.ofStep(outcome, chain.row, next, changed);
				const steps = { outcome, before };
				if (broken.length === 0 && this.#reduction.goesStraightOn(actor, outcome, changed !== 0)) {
					open.push({ row: next.slice(), steps });
					continue;
				}
				this.#visited.by = actor;
				this.#visited.late = late;
				this.#visited.steps = steps;
				visit(next, broken);
			}
		}
	}

	/** The move that is being visited, in the form of a schedule. */
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
