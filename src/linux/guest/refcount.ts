import type { Kaddr } from "../../memory/index.js";
import type { Dmesg } from "../lib/index.js";
import type { GuestMemory } from "./guest-memory.js";
import { type Heap, POISON_FREE } from "./heap.js";

/** REFCOUNT_SATURATED of include/linux/refcount_types.h: from here the count never comes back. */
const REFCOUNT_SATURATED = 0xc0000000;
const POISONED = (POISON_FREE * 0x01010101) | 0;

/** A refcount_t in guest memory (include/linux/refcount.h, lib/refcount.c): a wrong count is a WARN(), and saturates. */
export class Refcounts {
	readonly #memory: GuestMemory;
	readonly #heap: Heap;
	readonly #dmesg: Dmesg;

	constructor(memory: GuestMemory, heap: Heap, dmesg: Dmesg) {
		this.#memory = memory;
		this.#heap = heap;
		this.#dmesg = dmesg;
	}

	/** A freed object still has the 0 that its last holder left: the poison is ours. */
	#read(at: Kaddr): number {
		const count = this.#memory.u32(at) | 0;
		return count === POISONED && this.#heap.isFree(at) ? 0 : count;
	}

	/** refcount_warn_saturate() */
	#saturate(at: Kaddr, what: string): void {
		if (!this.#heap.isFree(at)) this.#memory.setU32(at, REFCOUNT_SATURATED);
		this.#dmesg.WARN_ONCE(`refcount_t: ${what}`, "refcount_warn_saturate");
	}

	/** refcount_inc() */
	inc(at: Kaddr): void {
		const count = this.#read(at);
		if (count === 0) this.#saturate(at, "addition on 0; use-after-free.");
		else if (count < 0 || count + 1 > 0x7fffffff) this.#saturate(at, "saturated; leaking memory.");
		else this.#memory.setU32(at, count + 1);
	}

	/** refcount_dec_and_test(): true if the last reference is given back. */
	dec_and_test(at: Kaddr): boolean {
		const count = this.#read(at);
		if (count > 0) this.#memory.setU32(at, count - 1);
		else this.#saturate(at, "underflow; use-after-free.");
		return count === 1;
	}
}
