import type { Kaddr, Memory } from "../../memory/index.js";

/** Numbers that each word has in a list: its address, its entry of the page table, its value. */
const PER_WORD = 3;

/** The words of guest memory that a function has read: while they can be read and are as they were, it finds the same as then. */
export class SeenWords {
	readonly #memory: Memory;
	readonly #words: number[] = [];

	/** Calls `read`, which reads by GuestMemory only. */
	constructor(memory: Memory, read: () => void) {
		this.#memory = memory;
		const { onGuestRead } = memory;
		memory.onGuestRead = (address, length) => {
			onGuestRead?.(address, length);
			for (let at = address & ~3; at < address + length; at += 4) this.#add(at);
		};
		try {
			read();
		} finally {
			memory.onGuestRead = onGuestRead;
		}
	}

	#add(at: Kaddr): void {
		this.#words.push(at, this.#memory.entry(at), this.#memory.i32(at));
	}

	get unchanged(): boolean {
		const words = this.#words;
		const memory = this.#memory;
		for (let i = 0; i < words.length; i += PER_WORD) {
			const at = words[i]!;
			// The entry first: a page that is gone cannot be read.
			if (memory.entry(at) !== words[i + 1] || memory.i32(at) !== words[i + 2]) return false;
		}
		return true;
	}
}
