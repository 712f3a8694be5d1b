import type { Kaddr } from "../../memory/index.js";

/** What was noted about memory, for the SharedMemory of another world of the same model: three numbers for each note. Plain data. */
export interface AccessNotes {
	readonly accesses: readonly number[];
	readonly gates: readonly string[];
}

/** Kinds of notes. */
export const NOTED = { access: 0, read: 1, write: 2, taskWrites: 3, escapes: 4, lock: 5, looks: 6 } as const;

/** Keeps each note once. */
export class AccessLog {
	/** By what is noted, without the address: address and length. */
	readonly #known = new Map<number, Set<number>>();
	readonly #knownGates = new Set<string>();
	#accesses: number[] = [];
	#gates: string[] = [];

	/** `flags`: three bits. `who`: see SharedMemory.access(). Of a read the bits of a word's bytes, the word, and 1. */
	note(what: (typeof NOTED)[keyof typeof NOTED], flags: number, who: number, address: Kaddr, length: number): void {
		const head = (who * 8 + flags) * 8 + what;
		let known = this.#known.get(head);
		if (known === undefined) {
			known = new Set();
			this.#known.set(head, known);
		}
		const tail = (address >>> 0) * 2 ** 20 + length;
		if (known.has(tail)) return;
		known.add(tail);
		this.#accesses.push(head, address, length);
	}

	noteGate(name: string): void {
		if (this.#knownGates.has(name)) return;
		this.#knownGates.add(name);
		this.#gates.push(name);
	}

	/** The notes since the last call. */
	take(): AccessNotes {
		this.#known.clear();
		this.#knownGates.clear();
		const notes = { accesses: this.#accesses, gates: this.#gates };
		this.#accesses = [];
		this.#gates = [];
		return notes;
	}
}

/** Calls `each` with the arguments of each {@link AccessLog.note}. */
export function readNotes(
	{ accesses }: AccessNotes,
	each: (what: number, flags: number, who: number, address: Kaddr, length: number) => void,
): void {
	for (let i = 0; i < accesses.length; i += 3) {
		const head = accesses[i]!;
		each(head & 7, (head >> 3) & 7, head >> 6, accesses[i + 1]!, accesses[i + 2]!);
	}
}
