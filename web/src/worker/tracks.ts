import type { Track } from "../shared/recording.js";

/** Writes tracks: a value is kept only if it differs from the one before. */
export class Tracks {
	readonly all = new Map<string, Track>();
	/** What is compared instead of the values, by key. */
	readonly #stamps = new Map<string, unknown>();

	/** `stamp`: equal values have equal stamps; default: the value itself. */
	set(instant: number, key: string, value: unknown, stamp: unknown = value): void {
		this.make(instant, key, stamp, () => value);
	}

	/** Makes the value only if its stamp is not that of the value before. True: it did. */
	make(instant: number, key: string, stamp: unknown, value: () => unknown): boolean {
		if (this.#stamps.has(key) && this.#stamps.get(key) === stamp) return false;
		this.#stamps.set(key, stamp);
		this.#add(instant, key, value());
		return true;
	}

	#add(instant: number, key: string, value: unknown): void {
		const track = this.all.get(key) ?? { at: [], values: [] };
		this.all.set(key, track);
		if (track.at.at(-1) === instant) track.values[track.values.length - 1] = value;
		else {
			track.at.push(instant);
			track.values.push(value);
		}
	}

	/** The keys with a prefix that have a value now, and are not among `present`, lose it. */
	drop(instant: number, prefix: string, present: ReadonlySet<string>): void {
		for (const [key, { values }] of this.all) {
			if (key.startsWith(prefix) && values.at(-1) !== undefined && !present.has(key)) this.set(instant, key, undefined);
		}
	}
}
