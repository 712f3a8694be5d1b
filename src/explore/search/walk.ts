import type { Row } from "./columns.js";
import type { KernelState } from "./kernel-state.js";
import type { Memo } from "./memo.js";
import type { Reduction } from "./reduction.js";
import { Position, Trace } from "./trace.js";

/** Where the machine is on its way. */
interface Place {
	/** The state. */
	readonly row: Row;
	/** The actor that has made the last step. */
	readonly by: number;
	/** No other one moves before its next step. */
	readonly alone: boolean;
}

interface Choice {
	readonly actor: number;
	readonly late: boolean;
}

/**
 * The way of a machine through states, along steps of actors that it has not executed yet. To bring a machine back to a state takes some
 * twenty steps, so each step is executed when the machine is where it begins, if that can be.
 */
export class Walk {
	readonly #memo: Memo;
	readonly #reduction: Reduction;

	constructor(memo: Memo, reduction: Reduction) {
		this.#memo = memo;
		this.#reduction = reduction;
	}

	/** Executes a step from a state, then those that follow, as far as they are new. */
	from(row: Row, actor: number, late: boolean): void {
		let place = this.#step(row, { actor, late });
		while (place !== undefined) place = this.#next(place);
	}

	/** The place behind the next step; undefined: from here on, all is known, or nothing follows. */
	#next({ row, by, alone }: Place): Place | undefined {
		const { states } = this.#memo;
		const kernel = states[row[0]!]!;
		const choices = alone ? [{ actor: by, late: false }] : this.#choices(kernel, row, by);
		for (const choice of choices) {
			const position = new Position(row, new Trace());
			if (this.#memo.isKnown(kernel, choice.actor, choice.late, position, this.#reduction)) continue;
			const place = this.#step(row, choice);
			// If it must wait, nothing has changed.
			if (!this.#memo.isAt(kernel)) return place;
		}
		return undefined;
	}

	/** Who waits comes first, because it may have to go on waiting; then who has made the last step, so that its operation ends. */
	#choices(kernel: KernelState, row: Row, by: number): Choice[] {
		const position = new Position(row, new Trace());
		const rank = (actor: number) => (kernel.inKernel[actor]?.waits ? 0 : actor === by ? 1 : 2);
		const actors = this.#reduction.actorsThatMove(kernel, position).sort((a, b) => rank(a) - rank(b));
		return actors.flatMap((actor) => {
			const choice = { actor, late: false };
			return this.#reduction.mayBeLate(kernel, position, actor) ? [choice, { actor, late: true }] : [choice];
		});
	}

	/** Undefined: the search does not go on behind it, or the actor must wait. */
	#step(row: Row, { actor, late }: Choice): Place | undefined {
		const memo = this.#memo;
		const position = new Position(row, new Trace());
		const outcomes = memo.step(memo.states[row[0]!]!, actor, late, position, this.#reduction);
		const outcome = outcomes.find(({ to }) => memo.isAt(to));
		if (outcome === undefined) return undefined;
		const next = position.copy();
		const changed = outcome.apply(next);
		if (memo.judge.ofStep(outcome, row, next, changed).length > 0) return undefined;
		return { row: next.row, by: actor, alone: this.#reduction.goesStraightOn(actor, outcome, changed !== 0) };
	}
}
