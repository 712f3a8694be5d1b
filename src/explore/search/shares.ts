/** In place of the state to which a move leads: the move breaks the invariant; or the search does not go on, for another reason. */
export const BREAKS = -1;
export const ENDS = -2;

/** The states of a search with all their moves. */
export interface MoveGraph {
	/** By state, the index in `to` at which its moves begin; one more number at the end. */
	readonly begin: Int32Array;
	/** By move, the state to which it leads, or {@link BREAKS}, or {@link ENDS}. */
	readonly to: Int32Array;
}

/** Moves that are looked at for the shares: some seconds. */
const WORK = 400_000_000;
/** Shares of the states that are asked for are known to this. */
const PRECISION = 1e-6;

/** Marks the states from which a way leads to a marked one. `leadsTo` says whether a move does. */
export function markLeading(marked: Uint8Array, leadsTo: (state: number, marked: Uint8Array) => boolean): Uint8Array {
	// Most moves lead to a state with a higher number, so that few rounds are needed.
	for (let found = true; found; ) {
		found = false;
		for (let state = marked.length - 1; state >= 0; state--) {
			if (marked[state] || !leadsTo(state, marked)) continue;
			marked[state] = 1;
			found = true;
		}
	}
	return marked;
}

/** What can follow a state. */
export class Shares {
	readonly #graph: MoveGraph;
	/** 1: some schedule from here breaks the invariant; a state without is safe. */
	readonly #canBreak: Uint8Array;
	/** 1: some schedule from here reaches a safe state, without breaking the invariant. */
	readonly #canAvoid: Uint8Array;

	constructor(graph: MoveGraph) {
		this.#graph = graph;
		const count = graph.begin.length - 1;
		this.#canBreak = this.#leadingTo(new Uint8Array(count), BREAKS);
		this.#canAvoid = this.#leadingTo(
			this.#canBreak.map((can) => 1 - can),
			ENDS,
		);
	}

	/** The states from which a move of this kind, or a marked state, can be reached. */
	#leadingTo(marked: Uint8Array, kind: number): Uint8Array {
		const { begin, to } = this.#graph;
		const leads = (state: number) => {
			for (let i = begin[state]!; i < begin[state + 1]!; i++) {
				if (to[i] === kind || (to[i]! >= 0 && marked[to[i]!] === 1)) return true;
			}
			return false;
		};
		return markLeading(marked, leads);
	}

	/** From everywhere that can be reached from here, the invariant can still be broken: nothing leads away from it for good. */
	isInevitable(state: number): boolean {
		return this.#canAvoid[state] === 0;
	}

	/**
	 * By state, the probability with which the invariant is broken if each move is as likely as the others of its state. They are the
	 * solution of p(s) = mean of p over the moves of s, which is 1 where it is inevitable and 0 where it is safe; between these the solution
	 * is the only one. It is approached from below and from above, so that `error` is a bound.
	 */
	of(states: readonly number[], work = WORK): { readonly shares: number[]; readonly error: number } {
		const { begin, to } = this.#graph;
		const count = begin.length - 1;
		const open: number[] = [];
		for (let state = count - 1; state >= 0; state--) {
			if (this.#canBreak[state] && this.#canAvoid[state]) open.push(state);
		}
		const sure = (otherwise: number) =>
			Float64Array.from({ length: count }, (_, s) => (this.#canBreak[s] === 0 ? 0 : this.#canAvoid[s] ? otherwise : 1));
		const [low, high] = [sure(0), sure(1)];
		const improve = (p: Float64Array, state: number) => {
			let sum = 0;
			for (let i = begin[state]!; i < begin[state + 1]!; i++)
				sum += to[i]! >= 0 ? p[to[i]!]! : to[i] === BREAKS ? 1 : 0;
			p[state] = sum / (begin[state + 1]! - begin[state]!);
		};
		const error = () => Math.max(0, ...states.map((state) => high[state]! - low[state]!));
		for (let done = 0; error() > PRECISION && done < work; done += 2 * to.length) {
			for (const state of open) {
				improve(low, state);
				improve(high, state);
			}
		}
		return { shares: states.map((state) => (low[state]! + high[state]!) / 2), error: error() };
	}
}
