import { KlpemuError } from "../../base/index.js";
import type { Row } from "./columns.js";
import { MOVE_KINDS, type MovesKind } from "./known-moves.js";
import { Numbers } from "./numbers.js";
import type { SearchResult, Violation } from "./result.js";
import type { StateTable } from "./state-table.js";

/** An entry that stands for the end of a level. */
const LEVEL_END = MOVE_KINDS.length;

/** How far a search had come when a level began. */
export interface LevelState {
	/** The first state of each level. */
	readonly levels: readonly number[];
	readonly transitions: number;
	readonly violations: readonly Violation[];
	readonly lost: boolean;
	/** Of each table of pairs: how many of its pairs are saved. */
	readonly pairs: readonly number[];
}

/** What a checkpoint says about one search; its numbers come in a second part. */
export interface SavedSearch {
	/** Numbers of its entries. */
	readonly entries: number;
	/** Numbers in a row. */
	readonly width: number;
	/** It had ended. */
	readonly result?: SearchResult;
	/** It is to go on from here. */
	readonly state?: LevelState;
}

/** A checkpoint of an exploration, as a value for JSON and the numbers that it counts. */
export interface Checkpoint {
	readonly searches: readonly SavedSearch[];
	readonly numbers: Int32Array;
}

/** A search, for a checkpoint. */
export interface Savable {
	readonly level: LevelState | undefined;
	savedStates(level: LevelState): Int32Array[];
}

/**
 * Of one search: all that it has had executed, in order. Kernel states and task states cannot be saved, but the same code
 * executed in the same order gives them the same numbers.
 */
export class SearchLog {
	readonly entries = new Numbers();
	/** Of a checkpoint; undefined: the search begins here. */
	readonly past: { readonly saved: SavedSearch; readonly pairs: Int32Array } | undefined;
	/** Numbers in a row; 0: the search has not begun yet. */
	width = 0;
	result: SearchResult | undefined = undefined;
	source: Savable | undefined = undefined;

	constructor(past?: { readonly saved: SavedSearch; readonly entries: Int32Array; readonly pairs: Int32Array }) {
		this.past = past;
		this.result = past?.saved.result;
		for (const number of past?.entries ?? []) this.entries.push(number);
	}

	/** Code is about to be executed for the moves in a state. */
	moves(kind: MovesKind, row: Row): void {
		this.entries.push(MOVE_KINDS.indexOf(kind));
		for (let i = 0; i < this.width; i++) this.entries.push(row[i]!);
	}

	levelEnd(): void {
		this.entries.push(LEVEL_END);
	}

	/** Reads the states of a checkpoint into an empty table. Undefined: there are none. */
	restore(table: StateTable): LevelState | undefined {
		const state = this.past?.saved.state;
		if (state === undefined) return undefined;
		if (!table.restore(this.past!.pairs, state.pairs)) throw misfit();
		return state;
	}

	/** Has all of it executed again. */
	replay(moves: (kind: MovesKind, row: Row) => void, levelEnd: () => void): void {
		const { entries, width } = this;
		const row = new Int32Array(width);
		for (let at = 0, count = entries.length; at < count; ) {
			const kind = MOVE_KINDS[entries.at(at++)];
			if (kind === undefined) {
				levelEnd();
				continue;
			}
			for (let i = 0; i < width; i++) row[i] = entries.at(at++);
			moves(kind, row);
		}
	}
}

/** The searches of an exploration, from which a checkpoint is made, or that go on from one. */
export class Journal {
	readonly #logs: SearchLog[] = [];
	readonly #past: SearchLog[] = [];

	/** `from`: the exploration goes on from there. Throws `EXPLORE_CHECKPOINT` if its parts do not fit together. */
	constructor(from?: Checkpoint) {
		let at = 0;
		const take = (count: number) => {
			at += count;
			return from!.numbers.subarray(at - count, at);
		};
		for (const saved of from?.searches ?? []) {
			const entries = take(saved.entries);
			const pairs = take(2 * (saved.state?.pairs ?? []).reduce((sum, count) => sum + count, 0));
			this.#past.push(new SearchLog({ saved, entries, pairs }));
		}
		if (at !== (from?.numbers.length ?? 0)) throw misfit();
	}

	/** A search begins. `width`: numbers in a row. */
	begin(width: number, source: Savable): SearchLog {
		const log = this.#past[this.#logs.length] ?? new SearchLog();
		if (log.past !== undefined && log.past.saved.width !== width) throw misfit();
		log.width = width;
		log.source = source;
		this.#logs.push(log);
		return log;
	}

	/** Searches that have not begun again yet are in it as they were. */
	checkpoint(): Checkpoint {
		const searches: SavedSearch[] = [];
		const numbers: Int32Array[] = [];
		const logs = [...this.#logs, ...this.#past.slice(this.#logs.length)];
		for (const { entries, width, result, source, past } of logs) {
			const all = entries.all();
			const state = result === undefined ? (source?.level ?? past?.saved.state) : undefined;
			searches.push({
				entries: all.length,
				width: width || (past?.saved.width ?? 0),
				...(result && { result }),
				...(state && { state }),
			});
			numbers.push(all);
			if (state !== undefined)
				numbers.push(...(source?.level === undefined ? [past!.pairs] : source.savedStates(state)));
		}
		const total = new Int32Array(numbers.reduce((sum, { length }) => sum + length, 0));
		let at = 0;
		for (const part of numbers) {
			total.set(part, at);
			at += part.length;
		}
		return { searches, numbers: total };
	}
}

export function misfit(cause?: unknown): KlpemuError {
	return new KlpemuError("EXPLORE_CHECKPOINT", "the parts of the checkpoint do not fit together", {
		cause,
		hint: "it is of another exploration, or was changed: begin again",
	});
}
