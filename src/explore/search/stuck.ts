import type { Numbers } from "./table.js";

/** All moves of a search. */
export interface Edges {
	/** By state, the state from which it was first reached; -1: it is the first. */
	readonly parents: Numbers;
	/** From and to, in turn, of each move that led to a state which was known. */
	readonly others: Numbers;
}

/** States from which no way leads to one of `ends`. All states and moves must be there. */
export function* statesWithoutEnd(edges: Edges, ends: Uint8Array): Generator<number, void, void> {
	const marked = ends.slice();
	spreadBackwards(edges, marked);
	for (let state = 0; state < marked.length; state++) if (!marked[state]) yield state;
}

/** Marks all states from which a marked state can be reached. */
function spreadBackwards({ parents, others }: Edges, marked: Uint8Array): void {
	const first = new Int32Array(marked.length).fill(-1);
	const next = new Int32Array(others.length / 2);
	for (let edge = 0; edge < next.length; edge++) {
		const to = others.at(2 * edge + 1);
		next[edge] = first[to]!;
		first[to] = edge;
	}
	const open = [...marked.keys()].filter((state) => marked[state]);
	const mark = (state: number) => {
		if (state < 0 || marked[state]) return;
		marked[state] = 1;
		open.push(state);
	};
	for (let state = open.pop(); state !== undefined; state = open.pop()) {
		mark(parents.at(state));
		for (let edge = first[state]!; edge >= 0; edge = next[edge]!) mark(others.at(2 * edge));
	}
}
