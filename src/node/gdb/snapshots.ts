import { lowerBound } from "../../base/index.js";
import type { SavedMachine } from "../../machine/index.js";
import type { RunPlace } from "../../scenario/index.js";

/** A machine at a position of a run, from which the run can go on. */
export interface Snapshot {
	readonly position: number;
	readonly place: RunPlace;
	readonly machine: SavedMachine;
	/** The place is in the middle of a step: where that began. */
	readonly begin?: { readonly place: RunPlace; readonly machine: SavedMachine };
}

/** More are thinned out: every second one goes, and the next ones are twice as far apart. */
export const MAX_SNAPSHOTS = 128;
/** The same, for machines with much memory. */
const MAX_BYTES = 256 << 20;
/** Events between two snapshots in the beginning. */
const DISTANCE = 1000;

/**
 * Snapshots of a run, in its order. Their number has a limit, and their distances are about equal: a run of N events has one every N /
 * {@link MAX_SNAPSHOTS} to 2 N / MAX_SNAPSHOTS events, but where kernel code in TypeScript is in progress, which cannot be saved.
 */
export class Snapshots {
	#all: Snapshot[] = [];
	#bytes = 0;
	#distance = DISTANCE;

	/** The last one is far enough behind. */
	isDue(position: number): boolean {
		const last = this.#all.at(-1);
		return last === undefined || position >= last.position + this.#distance;
	}

	add(snapshot: Snapshot): void {
		this.#all.push(snapshot);
		this.#bytes += bytesOf(snapshot);
		while (this.#all.length > 2 && (this.#all.length > MAX_SNAPSHOTS || this.#bytes > MAX_BYTES)) this.#thin();
	}

	/** The last one at or before a position; undefined: the position is before all of them. */
	before(position: number): Snapshot | undefined {
		return this.#all[lowerBound(this.#all.length, (index) => this.#all[index]!.position > position) - 1];
	}

	get positions(): readonly number[] {
		return this.#all.map(({ position }) => position);
	}

	#thin(): void {
		this.#distance *= 2;
		this.#all = this.#all.filter((_one, index) => index % 2 === 0);
		this.#bytes = this.#all.reduce((sum, one) => sum + bytesOf(one), 0);
	}
}

function bytesOf({ machine, begin }: Snapshot): number {
	const sizeOf = ({ memory }: SavedMachine) => memory.regions.reduce((sum, { bytes }) => sum + bytes.length, 0);
	return sizeOf(machine) + (begin === undefined ? 0 : sizeOf(begin.machine));
}
