import { type Kaddr, type Memory, PERM } from "../../memory/index.js";

/** Remembers what a walk through structs has read: as long as that is the same, so is what the walk finds. It only saves work. */
export interface RememberedReads {
	/** Walks, and remembers the words that it reads. `from`: what the walk depends on beside memory. */
	read<T>(from: readonly unknown[], walk: () => T): T;
	/** True if the last walk had the same `from`, and all that it has read is as it was. False if that is not known. */
	same(from: readonly unknown[]): boolean;
	forget(): void;
}

/** A number of {@link Memory.mappings} that it never has. */
const UNKNOWN = -1;

/** `faults`: a number that changes with each pointer that leads nowhere. Walks that meet one are not remembered: each tells of it. */
export function rememberReads(memory: Memory, faults: () => number): RememberedReads {
	let places: number[] = [];
	let values: number[] = [];
	let began: readonly unknown[] = [];
	let mappings = UNKNOWN;
	let known = false;
	const note = (address: Kaddr, length: number): void => {
		const end = address + length;
		for (let at = address & -4; at < end; at += 4) {
			const pair = memory.wordAt(at & -8, PERM.READ);
			// Writes are watched.
			if (pair < 0) known = false;
			const place = pair + ((at >> 2) & 1);
			places.push(place);
			values.push(memory.words[place]!);
		}
	};
	return {
		read(from, walk) {
			mappings = UNKNOWN;
			began = from;
			// The explorer wants to know of each read.
			if (memory.onGuestRead !== undefined) return walk();
			places = [];
			values = [];
			known = true;
			const before = faults();
			memory.onGuestRead = note;
			try {
				const found = walk();
				if (known && faults() === before) mappings = memory.mappings;
				return found;
			} finally {
				memory.onGuestRead = undefined;
			}
		},
		same(from) {
			if (mappings !== memory.mappings || memory.onGuestRead !== undefined || !equal(from, began)) return false;
			const { words } = memory;
			for (let i = 0; i < places.length; i++) if (words[places[i]!] !== values[i]) return false;
			return true;
		},
		forget() {
			mappings = UNKNOWN;
		},
	};
}

export function equal(a: readonly unknown[], b: readonly unknown[]): boolean {
	if (a.length !== b.length) return false;
	for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
	return true;
}
