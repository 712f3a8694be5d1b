/** Joins the results of several searches, or of the parts of a shared search. */

/** A schedule that was found. */
export interface Found {
	readonly invariant: string;
	/** Moves. */
	readonly length: number;
}

/** The shortest schedule for each invariant; the first one of those with the same length. */
export function shortestOfEach<T>(schedules: Iterable<T>, about: (schedule: T) => Found): T[] {
	const shortest = new Map<string, T>();
	for (const schedule of schedules) {
		const { invariant, length } = about(schedule);
		const known = shortest.get(invariant);
		if (known === undefined || length < about(known).length) shortest.set(invariant, schedule);
	}
	return [...shortest.values()];
}

/**
 * The states that the parts of a shared search have visited together: each state once, with the number of moves that
 * lead away from it. One part may have expanded a state that another part has only reached: the larger number of moves
 * is used.
 */
export function joinVisited(parts: Iterable<Iterable<readonly [string, number]>>): Map<string, number> {
	const joined = new Map<string, number>();
	for (const part of parts) {
		for (const [state, moves] of part) joined.set(state, Math.max(moves, joined.get(state) ?? 0));
	}
	return joined;
}
