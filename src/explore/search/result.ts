import type { Broken } from "../../consistency/index.js";
import type { Move } from "../schedule.js";

export interface FoundViolation {
	readonly broken: Broken;
	readonly moves: readonly Move[];
}

export interface SearchResult {
	readonly result: "complete" | "bounded" | "violated";
	readonly violations: readonly FoundViolation[];
	readonly states: number;
	readonly transitions: number;
	/** Number of moves on the longest of the shortest ways to a state. */
	readonly depth: number;
	/** Bytes that are kept for each state. */
	readonly bytes: number;
	/** Of a shard: the visited states, and for each the number of moves that lead away from it. */
	readonly visited: ReadonlyMap<string, number> | undefined;
}

/** A violation that was found; the moves to `from` are found when the search has ended. */
export interface Violation {
	readonly broken: Broken;
	readonly from: number;
	readonly last: readonly Move[];
}
