import type { Kaddr } from "../../memory/index.js";

/** More events would take more than 800 MB. */
export const MAX_EVENTS = 100_000_000;

/**
 * What a run executes, event by event: the instructions, each with its thread and address, and the beginning of each step of the
 * scenario, with address 0. A position is the number of an event: the machine is about to make it.
 */
export class History {
	#threads = new Int32Array(1 << 16);
	#ips = new Int32Array(1 << 16);
	#length = 0;
	/** Positions at which a step of the scenario begins, ascending. */
	readonly steps: { readonly position: number; readonly action: string }[] = [];

	get length(): number {
		return this.#length;
	}

	/** False: the history is full. */
	add(thread: number, ip: Kaddr): boolean {
		if (this.#length === MAX_EVENTS) return false;
		if (this.#length === this.#ips.length) {
			this.#threads = doubled(this.#threads);
			this.#ips = doubled(this.#ips);
		}
		this.#threads[this.#length] = thread;
		this.#ips[this.#length] = ip;
		this.#length++;
		return true;
	}

	/** A step of the scenario begins. */
	addStep(thread: number, action: string): boolean {
		this.steps.push({ position: this.#length, action });
		return this.add(thread, 0);
	}

	thread(position: number): number {
		return this.#threads[position]!;
	}

	ip(position: number): Kaddr {
		return this.#ips[position]!;
	}

	/** The next position behind `from` (`by` is 1), or the last one before it (-1), that fits; undefined: there is none. */
	find(from: number, by: 1 | -1, fits: (thread: number, ip: Kaddr) => boolean): number | undefined {
		for (let at = from + by; at >= 0 && at < this.#length; at += by) {
			if (fits(this.#threads[at]!, this.#ips[at]!)) return at;
		}
		return undefined;
	}
}

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
	const longer = new Int32Array(2 * array.length);
	longer.set(array);
	return longer;
}
