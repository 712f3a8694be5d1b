import {
	Follower,
	type FollowRequest,
	type FollowWork,
	MARK_OPEN,
	PART,
	partsOf,
	placesIn,
	ROOM,
	type Visits,
} from "./follower.js";
import type { KnownMoves } from "./known-moves.js";
import { words } from "./pairs.js";
import type { StateTable } from "./state-table.js";
import { type Ends, unmarked } from "./stuck.js";

/** A {@link RemoteFollower} in another thread. */
export interface FollowerPort {
	/** It can be asked. */
	readonly isReady: boolean;
	/** Its answer; undefined: it has ended, maybe in the middle. */
	follow(request: FollowRequest): Promise<boolean | undefined>;
}

/** Visits that are shared at a time. */
export const BATCH = 128 * PART.visits;

/** Shares the work that only handles numbers among the threads of a search. Without others, this thread does it. */
export class Followers {
	#ports: readonly FollowerPort[];
	readonly #table: StateTable;
	readonly #known: KnownMoves;
	readonly #own: Follower;
	readonly #shared: boolean;
	/** By port, the chunks of the table that it has. */
	readonly #sent = new Map<FollowerPort, readonly number[]>();
	/** For the visits of one batch. */
	#visits: Omit<Visits, "count"> | undefined = undefined;

	/** The table and the known moves are in shared memory if there are ports. */
	constructor(ports: readonly FollowerPort[], table: StateTable, known: KnownMoves) {
		this.#ports = ports;
		this.#shared = ports.length > 0;
		this.#table = table;
		this.#known = known;
		this.#own = new Follower(table, known);
	}

	/** Another thread takes a part. */
	get areReady(): boolean {
		return this.#ports.some(({ isReady }) => isReady);
	}

	/** At most {@link BATCH} visits. `found`: what they find, valid until the next call; `places`: where it begins, by visit. */
	async visit(visits: Int32Array): Promise<{ readonly found: Int32Array; readonly places: Int32Array }> {
		const shared = this.#visits ?? {
			kind: "visits",
			visits: words(BATCH, true),
			found: words((BATCH / PART.visits) * ROOM, true),
			parts: words(1 + BATCH / PART.visits, true),
		};
		this.#visits = shared;
		shared.visits.set(visits);
		await this.#share({ ...shared, count: visits.length });
		return { found: shared.found, places: placesIn(shared.found, visits.length, this.#table.width) };
	}

	/**
	 * The states from which no way leads to an end. All states must be there. `slow`: does a move lead from this state, of which not all
	 * moves are known, to a marked one?
	 */
	async withoutEnd(ends: Ends, slow: (state: number, marked: Uint8Array) => boolean): Promise<number[]> {
		const shared = this.#shared;
		const marked = bytes(new Uint8Array(this.#table.length), shared);
		const [kernelEnds, taskEnds] = [bytes(ends.kernels, shared), bytes(ends.tasks, shared)];
		const parts = words(1 + Math.ceil(marked.length / PART.marking), shared);
		for (let found = true; found; ) {
			found = await this.#share({ kind: "marking", kernelEnds, taskEnds, marked, parts });
			for (let state = marked.length - 1; state >= 0; state--) {
				if (marked[state] !== MARK_OPEN || !slow(state, marked)) continue;
				marked[state] = 1;
				found = true;
			}
		}
		return unmarked(marked);
	}

	async #share(work: FollowWork): Promise<boolean> {
		work.parts.fill(0);
		const asked = this.#ports.filter(({ isReady }) => isReady);
		const others = asked.map((port) => port.follow(this.#request(port, work)));
		let isMarked = this.#own.take(work);
		for (const [i, other] of (await Promise.all(others)).entries()) {
			// One that has ended may have marked states, and may have ended in the middle of a part.
			if (other !== false) isMarked = true;
			if (other === undefined) this.#ports = this.#ports.filter((port) => port !== asked[i]);
		}
		for (let part = 0; part < partsOf(work); part++) {
			if (work.parts[part + 1] === 0 && this.#own.do(work, part)) isMarked = true;
		}
		return isMarked;
	}

	#request(port: FollowerPort, work: FollowWork): FollowRequest {
		const sent = this.#sent.get(port);
		this.#sent.set(port, this.#table.chunks);
		const width = sent === undefined ? this.#table.width : undefined;
		return { width, table: this.#table.news(sent ?? []), known: this.#known.words, work };
	}
}

/** The same bytes, in memory that other threads can see if `shared`. */
function bytes(from: Uint8Array, shared: boolean): Uint8Array {
	if (!shared) return from;
	const all = new Uint8Array(new SharedArrayBuffer(from.length));
	all.set(from);
	return all;
}
