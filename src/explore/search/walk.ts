import { KlpemuError } from "../../base/index.js";
import type { Row } from "./columns.js";
import type { KernelState } from "./kernel-state.js";
import type { Memo } from "./memo.js";
import type { Outcome } from "./outcome.js";
import type { Reduction } from "./reduction.js";
import { Position, Trace } from "./trace.js";

/** Steps of a way. A search that ends soon has no use of those that are far from where it is; of 8, nearly all gain is left. */
const FAR = 8;

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
 * ten steps, so each step is executed when the machine is where it begins, if that can be.
 */
export class Walk {
	readonly #memo: Memo;
	readonly #reduction: Reduction;
	#hasEnded = false;

	constructor(memo: Memo, reduction: Reduction) {
		this.#memo = memo;
		this.#reduction = reduction;
	}

	/** A step from a state was executed, and has led to `reached`: executes some that follow, as far as they are new. */
	behind(row: Row, actor: number, outcomes: readonly Outcome[], reached: KernelState): void {
		if (this.#hasEnded) return;
		try {
			let place = this.#place(row, actor, outcomes, reached);
			for (let steps = 0; place !== undefined && steps < FAR; steps++) place = this.#next(place);
		} catch (error) {
			if (!(error instanceof KlpemuError)) throw error;
			// The search may come to it, too.
			this.#hasEnded = true;
			this.#memo.leave();
		}
	}

	/** The place behind the next step; undefined: from here on, all is known, or nothing follows. */
	#next({ row, by, alone }: Place): Place | undefined {
		const { states } = this.#memo;
		const kernel = states[row[0]!]!;
		const choices = alone ? [{ actor: by, late: false }] : this.#choices(kernel, row, by);
		for (const choice of choices) {
			const position = new Position(row, new Trace());
			if (this.#memo.isKnown(kernel, choice.actor, choice.late, position, this.#reduction)) continue;
			const outcomes = this.#memo.stepAhead(kernel, choice.actor, choice.late, position, this.#reduction);
			const reached = this.#memo.takeReached();
			// If it must wait, nothing has changed.
			if (reached !== undefined) return this.#place(row, choice.actor, outcomes, reached);
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

	/** Undefined: the search does not go on from there. */
	#place(row: Row, actor: number, outcomes: readonly Outcome[], reached: KernelState): Place | undefined {
		const outcome = outcomes.find(({ to }) => to === reached);
		if (outcome === undefined) return undefined;
		const next = new Position(row, new Trace()).copy();
		const changed = outcome.apply(next);
		if (this.#memo.judge.ofStep(outcome, row, next, changed).length > 0) return undefined;
		return { row: next.row, by: actor, alone: this.#reduction.goesStraightOn(actor, outcome, changed !== 0) };
	}
}
