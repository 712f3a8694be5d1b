import { KlpemuError } from "../../base/index.js";
import type { Broken, Invariant } from "../../consistency/index.js";
import type { Move } from "../schedule.js";
import type { Row } from "./columns.js";
import { ON_CPU } from "./decision-tree.js";
import type { Memo } from "./memo.js";
import { Position, Trace } from "./trace.js";

/** The effect of a move, and the state behind it. */
interface Rehearsed {
	readonly move: Move;
	readonly broken: readonly Broken[];
	readonly row: Row;
}

/**
 * Follows schedules through what a search knows, as a Replayer does on a machine: hardly anything has to be executed. The search must know
 * all ways of tasks.
 */
export class Rehearsal {
	readonly #memo: Memo;
	/** The last one, as far as it broke nothing. */
	#last: Rehearsed[] = [];

	constructor(memo: Memo) {
		this.#memo = memo;
	}

	/** Up to the first broken invariant among `invariants`. Throws `REPLAY_IMPOSSIBLE` when a move cannot be made. */
	replay(moves: readonly Move[], invariants: ReadonlySet<Invariant>): Pick<Rehearsed, "move" | "broken">[] {
		const other = this.#last.findIndex(({ move }, index) => move !== moves[index]);
		const done = other < 0 ? this.#last : this.#last.slice(0, other);
		this.#last = done;
		for (const move of moves.slice(done.length)) {
			const row = (done.at(-1)?.row ?? this.#memo.first).slice();
			const broken = this.#move(move, row, invariants);
			if (broken.length > 0) return [...done, { move, broken }];
			done.push({ move, broken, row });
		}
		return done.slice();
	}

	/** Writes the state behind the move to `row`. */
	#move(move: Move, row: Row, invariants: ReadonlySet<Invariant>): Broken[] {
		const actor = this.#memo.world.actors.findIndex(({ name }) => name === move.who);
		if (actor < 0) return counted(this.#moveTask(move.who, row), invariants);
		for (let step = 0; step < move.steps; step++) {
			const broken = counted(this.#step(actor, move, step, row), invariants);
			if (broken.length > 0) return broken;
		}
		return [];
	}

	#moveTask(who: string, row: Row): readonly Broken[] {
		const { names, states } = this.#memo.world;
		const slot = names.indexOf(who);
		const before = row[slot + 1]!;
		const state = slot < 0 ? undefined : states.all[before];
		if (state === undefined || !state.alive || state.fields.held) throw impossible(who);
		const kernel = this.#memo.states[row[0]!]!;
		const move = this.#memo.moveTask(kernel, slot, before);
		row[slot + 1] = move.to;
		return this.#memo.judge.ofTaskMove(kernel, slot, before, move);
	}

	/** One step of an actor. */
	#step(actor: number, { who, busy, late }: Move, step: number, row: Row): readonly Broken[] {
		const { states, world } = this.#memo;
		const kernel = states[row[0]!]!;
		if (kernel.next[actor] === undefined) throw impossible(who);
		const onCpu = new Set(busy.filter((one) => one.step === step).map(({ task }) => world.names.indexOf(task)));
		const rule = { mayBeBusy: (_: unknown, __: unknown, slot: number) => (onCpu.has(slot) ? ON_CPU.yes : ON_CPU.no) };
		const before = row.slice();
		const position = new Position(row, new Trace());
		const [outcome] = this.#memo.step(kernel, actor, late && step === 0, position, rule);
		if (outcome === undefined) throw impossible(who);
		const changed = outcome.apply(position);
		return this.#memo.judge.ofStep(outcome, before, position, changed);
	}
}

function counted(broken: readonly Broken[], invariants: ReadonlySet<Invariant>): Broken[] {
	const wanted = broken.filter(({ invariant }) => invariants.has(invariant));
	// Behind the death of a task nothing is known.
	if (wanted.length === 0 && broken.some(({ died }) => died)) throw impossible("a task that has died");
	return wanted;
}

function impossible(who: string): KlpemuError {
	return new KlpemuError("REPLAY_IMPOSSIBLE", `${who} cannot make its move`);
}
