import type { Invariant } from "../../consistency/index.js";
import type { Model } from "../model.js";
import type { Move } from "../schedule.js";
import type { Row } from "./columns.js";
import { MOVE_KINDS } from "./known-moves.js";
import type { Memo } from "./memo.js";
import { Moves, type Visit } from "./moves.js";
import { Numbers } from "./numbers.js";
import { Reduction } from "./reduction.js";
import type { FoundViolation, Outlook } from "./result.js";
import { BREAKS, ENDS, type MoveGraph, Shares } from "./shares.js";
import { StateTable } from "./state-table.js";
import { type Ends, endsIn, endsOfDeadlock, endsOfStuck, statesWithoutEnd } from "./stuck.js";

/** What limits the look: those of a search. */
export interface OutlookLimits {
	readonly budget: number;
	readonly reduction: boolean;
	readonly interrupted?: (() => boolean) | undefined;
	readonly pause?: (() => Promise<void>) | undefined;
}

/** States between two pauses. */
const PAUSE = 2048;

/** Looks at all that can follow the states of one schedule. What it finds about guest code makes the world grow, as in a search. */
export async function outlookOf(
	model: Model,
	memo: Memo,
	active: readonly string[],
	{ broken: { invariant }, moves }: FoundViolation,
	options: OutlookLimits,
): Promise<Outlook> {
	return new Continuations(model, memo, active, invariant, options).of(moves);
}

class Continuations {
	readonly #memo: Memo;
	readonly #reduction: Reduction;
	readonly #moves: Moves;
	readonly #table: StateTable;
	readonly #invariant: Invariant;
	readonly #options: OutlookLimits;
	readonly #begin = new Numbers();
	readonly #to = new Numbers();
	/** The state that is being looked at. */
	readonly #whole: Row;

	constructor(model: Model, memo: Memo, active: readonly string[], invariant: Invariant, options: OutlookLimits) {
		this.#memo = memo;
		this.#invariant = invariant;
		this.#options = options;
		this.#reduction = new Reduction(model, memo.world, active, options.reduction);
		this.#table = new StateTable(memo.world.names.length + 1);
		this.#whole = this.#table.whole();
		this.#moves = new Moves(memo, this.#reduction, this.#table.size);
		const first = this.#table.whole();
		first.set(memo.first);
		this.#table.add(first, this.#whole);
	}

	async of(moves: readonly Move[]): Promise<Outlook> {
		if (!(await this.#visitAll())) {
			return { unknown: `not all that can follow was seen, ${this.#table.length} states` };
		}
		if (this.#memo.world.states.loop !== undefined) return { unknown: "the turns of a loop were not all followed" };
		const path = this.#follow(moves);
		if (path === undefined) return { unknown: "a move of the schedule is none of those that were looked at" };
		const graph = this.#graph();
		const shares = new Shares(graph);
		// Behind the last move the invariant is broken.
		const after = path.findIndex((state) => shares.isInevitable(state));
		const { shares: before, error } = shares.of(path);
		const states = this.#table.length;
		return {
			states,
			after: after < 0 ? moves.length : after,
			shares: [...before, 1].slice(0, moves.length + 1),
			error,
		};
	}

	/** False: there are too many states, or it was interrupted. */
	async #visitAll(): Promise<boolean> {
		const table = this.#table;
		const visit: Visit = (next, broken) => {
			this.#to.push(this.#leads(next, broken));
			return false;
		};
		for (let state = 0; state < table.length; state++) {
			if (table.length > this.#options.budget) return false;
			if (state % PAUSE === 0 && (await this.#isInterrupted())) return false;
			this.#begin.push(this.#to.length);
			table.read(state, this.#whole);
			for (const kind of MOVE_KINDS) this.#moves.visit(kind, this.#whole, visit);
		}
		this.#begin.push(this.#to.length);
		return true;
	}

	async #isInterrupted(): Promise<boolean> {
		await this.#options.pause?.();
		return this.#options.interrupted?.() ?? false;
	}

	/** The state to which a move leads; what it is worth if it is none. */
	#leads(next: Row, broken: Parameters<Visit>[1]): number {
		if (broken.some(({ invariant }) => invariant === this.#invariant)) return BREAKS;
		// As in a search: behind these nothing is defined.
		if (broken.some(({ invariant, died }) => invariant === "use-after-free" || died)) return ENDS;
		const known = this.#table.add(next, this.#whole);
		return known < 0 ? -known - 1 : known;
	}

	/** The states before each of the moves, and behind the last one if it breaks nothing. Undefined: there is no such move. */
	#follow(moves: readonly Move[]): number[] | undefined {
		const path = [0];
		for (const move of moves) {
			let to: number | undefined;
			this.#table.read(path.at(-1)!, this.#whole);
			for (const kind of MOVE_KINDS) {
				this.#moves.visitSlowly(kind, this.#whole, (next, broken) => {
					if (to === undefined && isSameMove(this.#moves.describe(), move)) to = this.#leads(next, broken);
					return to !== undefined;
				});
			}
			if (to === undefined) return undefined;
			if (to < 0) return path;
			path.push(to);
		}
		return path;
	}

	/** A state from which something never ends is itself the violation of `deadlock` and `stuck`. */
	#graph(): MoveGraph {
		const [begin, to] = [this.#begin.all(), this.#to.all()];
		const endless = this.#endless({ begin, to });
		return { begin, to: endless.size === 0 ? to : to.map((state) => (endless.has(state) ? BREAKS : state)) };
	}

	#endless({ begin, to }: MoveGraph): ReadonlySet<number> {
		const leadsTo = (state: number, marked: Uint8Array) =>
			to.subarray(begin[state], begin[state + 1]).some((next) => next >= 0 && marked[next] === 1);
		const ends = this.#ends();
		return new Set(ends && statesWithoutEnd(endsIn(this.#table, ends), leadsTo));
	}

	#ends(): Ends | undefined {
		const { states, world } = this.#memo;
		const tasks = world.states.all.length;
		if (this.#invariant === "deadlock") return endsOfDeadlock(states, tasks);
		if (this.#invariant === "stuck") return endsOfStuck(states, tasks, this.#reduction.bits);
		return undefined;
	}
}

function isSameMove(one: Move, other: Move): boolean {
	const key = ({ who, steps, late, busy }: Move) => JSON.stringify([who, steps, late, busy]);
	return key(one) === key(other);
}
