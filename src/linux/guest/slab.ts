import type { Kaddr } from "../../memory/index.js";
import type { FaultInjection } from "../lib/index.js";
import type { Sched } from "../sched/index.js";
import type { Heap } from "./heap.js";

/** kmalloc() and kfree() for kernel code. Fault injection may make an allocation fail. */
export class Slab {
	readonly #heap: Heap;
	readonly #faults: FaultInjection;
	readonly #sched: Sched;

	constructor(heap: Heap, faults: FaultInjection, sched: Sched) {
		this.#heap = heap;
		this.#faults = faults;
		this.#sched = sched;
	}

	/**
	 * A new object for `current`, zeroed on request; 0 (NULL) if there is no memory. `site`: the caller's name, for
	 * fault injection. `allocatedBy`: see {@link HeapObject}.
	 */
	kmalloc(site: string, size: number, zero: boolean, allocatedBy?: Kaddr): Kaddr {
		if (this.#faults.should_fail(`${site}(${this.#sched.current.comm})`)) return 0;
		return this.#heap.kmalloc(size, zero, allocatedBy);
	}

	/** See {@link Heap.resize}. */
	resize(address: Kaddr, bytes: number): void {
		this.#heap.resize(address, bytes);
	}

	/** Size of an object in use; undefined for anything else. */
	usedSize(address: Kaddr): number | undefined {
		return this.#heap.usedSize(address);
	}

	/** Size of an object that is free; undefined for anything else. */
	freeSize(address: Kaddr): number | undefined {
		return this.#heap.freeSize(address);
	}

	/** False for an address that is not an object in use. */
	kfree(address: Kaddr): boolean {
		return this.#heap.kfree(address);
	}
}
