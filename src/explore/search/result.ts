import type { Broken } from "../../consistency/index.js";
import type { Move } from "../schedule.js";

/** What can follow each state of a schedule that breaks an invariant. */
export type Outlook =
	| {
			/** States that were looked at: all that can be reached without breaking the invariant. */
			readonly states: number;
			/** From the state after so many moves on, nothing that can follow leads away from the violation for good. */
			readonly after: number;
			/** By number of moves made: the probability that the invariant is broken if each possible move is as likely as the others. */
			readonly shares: readonly number[];
			/** The shares are known to this. */
			readonly error: number;
	  }
	| {
			/** Why nothing is known. */
			readonly unknown: string;
	  };

export interface FoundViolation {
	readonly broken: Broken;
	readonly moves: readonly Move[];
	/** Only with SearchOptions.outlook. */
	readonly outlook?: Outlook;
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
