import type { Row } from "./columns.js";
import { KnownMoves, MOVE_KINDS, type MovesKind, SLOW, UNKNOWN } from "./known-moves.js";
import type { PairsNews } from "./pairs.js";
import { StateTable } from "./state-table.js";

/** Visits, and states to mark, in the part of a work that a thread takes at a time. */
export const PART = { visits: 128, marking: 4096 } as const;
/** Words for what is found by the visits of one part. */
export const ROOM = 16 * PART.visits;
/** In place of what a visit has found: not all of its moves are known, or there was no room. */
export const OPEN = -1;
/** In place of the first half of a state: its row follows. */
export const WHOLE_ROW = -1;
/** A state that is not marked, because not all of its moves are known. */
export const MARK_OPEN = 2;

/** Work that several threads share. All numbers are in memory that they share. */
interface Shared {
	/** Number of parts that are taken; then for each part 1 if it is done. */
	readonly parts: Int32Array;
}

/**
 * Visits of states. Each is twice the number of a state, plus the index of a kind in {@link MOVE_KINDS}. What it finds is {@link OPEN}, or
 *
 *     number of moves, number of states that are not in the table, and for each of these: its two halves, or WHOLE_ROW and its row
 */
export interface Visits extends Shared {
	readonly kind: "visits";
	readonly visits: Int32Array;
	readonly count: number;
	/** {@link ROOM} words for each part. */
	readonly found: Int32Array;
}

/** States from which a way leads to an end are marked. */
export interface Marking extends Shared {
	readonly kind: "marking";
	/** A state is an end if the number of its kernel state has 1 here, or that of one of its tasks' states. */
	readonly kernelEnds: Uint8Array;
	readonly taskEnds: Uint8Array;
	/** By state: 1, or {@link MARK_OPEN}, or 0. */
	readonly marked: Uint8Array;
}

export type FollowWork = Visits | Marking;

/** What another thread gets. Plain data. */
export interface FollowRequest {
	/** A search begins: the numbers in its rows. */
	readonly width: number | undefined;
	readonly table: readonly PairsNews[];
	readonly known: Int32Array;
	readonly work: FollowWork;
}

export function partsOf(work: FollowWork): number {
	const count = work.kind === "visits" ? work.count : work.marked.length;
	return Math.ceil(count / PART[work.kind]);
}

/** By visit, the place of what it has found. `width`: numbers in a row. */
export function placesIn(found: Int32Array, visits: number, width: number): Int32Array {
	const places = new Int32Array(visits);
	let at = 0;
	for (let i = 0; i < visits; i++) {
		if (i % PART.visits === 0) at = (i / PART.visits) * ROOM;
		places[i] = at;
		if (found[at++] === OPEN) continue;
		for (let left = found[at++]!; left > 0; left--) at += found[at] === WHOLE_ROW ? 1 + width : 2;
	}
	return places;
}

/** Follows known moves, and adds nothing: several threads can do so with the same table at a time. */
export class Follower {
	readonly #table: StateTable;
	readonly #known: KnownMoves;
	readonly #halves: readonly [number, number];
	readonly #whole: Row;
	readonly #next: Row;

	constructor(table: StateTable, known: KnownMoves) {
		this.#table = table;
		this.#known = known;
		this.#halves = table.halves;
		this.#whole = table.whole();
		this.#next = table.whole();
	}

	/** Does parts of a work, until all are taken. True: a state was marked. */
	take(work: FollowWork): boolean {
		const count = partsOf(work);
		let isMarked = false;
		for (let part = Atomics.add(work.parts, 0, 1); part < count; part = Atomics.add(work.parts, 0, 1)) {
			if (this.do(work, part)) isMarked = true;
		}
		return isMarked;
	}

	/** Does one part. True: a state was marked. */
	do(work: FollowWork, part: number): boolean {
		let isMarked = false;
		if (work.kind === "visits") this.#visit(work, part);
		else isMarked = this.#mark(work, part);
		Atomics.store(work.parts, part + 1, 1);
		return isMarked;
	}

	#visit({ visits, count, found }: Visits, part: number): void {
		const end = Math.min((part + 1) * PART.visits, count);
		let at = part * ROOM;
		for (let i = part * PART.visits; i < end; i++) {
			const visit = visits[i]!;
			this.#table.read(visit >> 1, this.#whole);
			// Each visit behind this one has room to say that it is open.
			at = this.#visitOne(MOVE_KINDS[visit & 1]!, found, at, (part + 1) * ROOM - (end - i - 1));
		}
	}

	/** Returns the place behind what it has written at `at`. */
	#visitOne(kind: MovesKind, found: Int32Array, at: number, end: number): number {
		const known = this.#known;
		const [whole, next] = [this.#whole, this.#next];
		const { width } = this.#table;
		const leaf = known.leaf(kind, whole);
		found[at] = OPEN;
		if (leaf === UNKNOWN || leaf === SLOW) return at + 1;
		const moves = known.words[leaf]!;
		let states = 0;
		let to = at + 2;
		for (let i = 0; i < width; i++) next[i] = whole[i]!;
		for (let left = moves, place = leaf + 1; left > 0; left--) {
			const behind = known.apply(place, whole, next);
			if (behind === UNKNOWN || to + 1 + width > end) return at + 1;
			if (this.#table.find(next, whole) < 0) {
				states++;
				to = this.#write(found, to);
			}
			known.undo(place, whole, next);
			place = behind;
		}
		if (to > end) return at + 1;
		found[at] = moves;
		found[at + 1] = states;
		return to;
	}

	/** Writes the next state, which has been looked for and is not there. */
	#write(found: Int32Array, at: number): number {
		const next = this.#next;
		const [left, right] = [next[this.#halves[0]]!, next[this.#halves[1]]!];
		if (left >= 0 && right >= 0) {
			found[at] = left;
			found[at + 1] = right;
			return at + 2;
		}
		found[at] = WHOLE_ROW;
		const { width } = this.#table;
		for (let i = 0; i < width; i++) found[at + 1 + i] = next[i]!;
		return at + 1 + width;
	}

	/** From the last state to the first: most moves lead to a state with a higher number. */
	#mark({ kernelEnds, taskEnds, marked }: Marking, part: number): boolean {
		const { width } = this.#table;
		const whole = this.#whole;
		const end = marked.length - part * PART.marking;
		let isMarked = false;
		for (let state = end - 1; state >= Math.max(end - PART.marking, 0); state--) {
			if (marked[state] !== 0) continue;
			this.#table.read(state, whole);
			let mark = kernelEnds[whole[0]!]!;
			for (let i = 1; i < width && mark === 0; i++) mark = taskEnds[whole[i]!]!;
			// Moves of actors lead to the end sooner.
			if (mark === 0) mark = this.#leadsTo("ofActors", marked);
			if (mark !== 1) mark = this.#leadsTo("ofTasks", marked) || mark;
			if (mark === 0) continue;
			marked[state] = mark;
			isMarked = true;
		}
		return isMarked;
	}

	/** 1: a move of the state leads to a marked one; {@link MARK_OPEN}: not all of its moves are known. */
	#leadsTo(kind: MovesKind, marked: Uint8Array): number {
		const known = this.#known;
		const [whole, next] = [this.#whole, this.#next];
		const leaf = known.leaf(kind, whole);
		if (leaf === UNKNOWN || leaf === SLOW) return MARK_OPEN;
		for (let i = 0; i < this.#table.width; i++) next[i] = whole[i]!;
		for (let left = known.words[leaf]!, place = leaf + 1; left > 0; left--) {
			const behind = known.apply(place, whole, next);
			if (behind === UNKNOWN) return MARK_OPEN;
			if (marked[this.#table.find(next, whole)] === 1) return 1;
			known.undo(place, whole, next);
			place = behind;
		}
		return 0;
	}
}

/** A follower in another thread, for one search after the other. */
export class RemoteFollower {
	#table: StateTable | undefined = undefined;
	#known = new KnownMoves();
	#follower: Follower | undefined = undefined;

	/** Does what is left of a work. True: a state was marked. */
	take({ width, table, known, work }: FollowRequest): boolean {
		if (width !== undefined) {
			this.#table = new StateTable(width, true);
			this.#known = new KnownMoves();
			this.#follower = new Follower(this.#table, this.#known);
		}
		this.#table!.take(table);
		this.#known.words = known;
		return this.#follower!.take(work);
	}
}
