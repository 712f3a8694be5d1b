import type { Numbers } from "./table.js";

/**
 * States from which no way leads to one of `ends`. `edges` holds from and to of each move, in turn; all states and moves must be there.
 */
export function* statesWithoutEnd(edges: Numbers, ends: Uint8Array): Generator<number, void, void> {
	const marked = ends.slice();
	spreadBackwards(edges, marked);
	for (let state = 0; state < marked.length; state++) if (!marked[state]) yield state;
}

/** Marks all states from which a marked state can be reached. */
function spreadBackwards(edges: Numbers, marked: Uint8Array): void {
	const first = new Int32Array(marked.length).fill(-1);
	const next = new Int32Array(edges.length / 2);
	for (let edge = 0; edge < next.length; edge++) {
		const to = edges.at(2 * edge + 1);
		next[edge] = first[to]!;
		first[to] = edge;
	}
	const open = [...marked.keys()].filter((state) => marked[state]);
	for (let state = open.pop(); state !== undefined; state = open.pop()) {
		for (let edge = first[state]!; edge >= 0; edge = next[edge]!) {
			const from = edges.at(2 * edge);
			if (marked[from]) continue;
			marked[from] = 1;
			open.push(from);
		}
	}
}
