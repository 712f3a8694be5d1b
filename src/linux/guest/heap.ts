import { declareState } from "../../base/index.js";
import { type Kaddr, type Memory, PAGE_SIZE, PERM } from "../../memory/index.js";

/**
 * The byte that fills a freed object (POISON_FREE of include/linux/poison.h): a stale pointer that is read from it is
 * not valid.
 */
export const POISON_FREE = 0x6b;
const SMALLEST = 8;

/**
 * kmalloc() and kfree(): sizes are powers of two, small ones share pages. An object that was freed last is handed out first.
 * Pages are mapped when they are first needed, and never given back.
 */
export class Heap {
	static readonly state = declareState({
		fields: ["next", "free", "used"],
		dropCaches: (heap: Heap) => {
			heap.known = undefined;
		},
	});

	readonly #memory: Memory;
	readonly #base: Kaddr;
	readonly #end: Kaddr;
	private next: Kaddr;
	/** Free objects by size. */
	private readonly free = new Map<number, Kaddr[]>();
	/** Size of each object in use. */
	private readonly used = new Map<Kaddr, number>();
	/** See {@link layout}; undefined: the heap has changed. */
	private known: string | undefined = undefined;

	/** Pages come from [base, end). */
	constructor(memory: Memory, area: { readonly base: Kaddr; readonly end: Kaddr }) {
		this.#memory = memory;
		this.#base = area.base;
		this.next = area.base;
		this.#end = area.end;
	}

	/** Objects in use. */
	get count(): number {
		return this.used.size;
	}

	/** Which objects are in use, and in which order free ones go out: two heaps of the same layout go on alike. */
	get layout(): string {
		this.known ??= `${[...this.used.keys()].join()};${[...this.free].map(([size, free]) => `${size}:${free.join()}`).join()}`;
		return this.known;
	}

	/** Maps a page for each small size, so that the first objects need no new ones. */
	warm(): void {
		for (let size = SMALLEST; size < PAGE_SIZE; size *= 2) {
			if (this.free.has(size)) continue;
			const free: Kaddr[] = [];
			this.free.set(size, free);
			this.#grow(size, free);
		}
		this.known = undefined;
	}

	/** A new object, zeroed on request; 0 (NULL) if there is no memory left. */
	kmalloc(bytes: number, zero: boolean): Kaddr {
		let size = SMALLEST;
		while (size < bytes) size *= 2;
		const free = this.free.get(size) ?? [];
		this.free.set(size, free);
		if (free.length === 0 && !this.#grow(size, free)) return 0;
		const address = free.pop()!;
		this.known = undefined;
		this.used.set(address, size);
		if (zero) this.#memory.write(address, new Uint8Array(size));
		return address;
	}

	#grow(size: number, free: Kaddr[]): boolean {
		const length = Math.max(size, PAGE_SIZE);
		if (this.next + length > this.#end) return false;
		this.#memory.map("heap", this.next, length, PERM.READ | PERM.WRITE);
		// The lowest address goes out first.
		for (let at = length - size; at >= 0; at -= size) free.push((this.next + at) | 0);
		this.next = (this.next + length) | 0;
		return true;
	}

	/** An object could be there. */
	contains(address: Kaddr): boolean {
		return address >= this.#base && address < this.#end;
	}

	/** The address is in an object in use. */
	isUsed(address: Kaddr): boolean {
		for (let size = SMALLEST; size < PAGE_SIZE; size *= 2) {
			if (this.used.get(address & -size) === size) return true;
		}
		for (const [start, size] of this.used)
			if (size >= PAGE_SIZE && address >= start && address < start + size) return true;
		return false;
	}

	/** Size of an object in use; undefined for anything else. */
	usedSize(address: Kaddr): number | undefined {
		return this.used.get(address);
	}

	/** Size of an object that is free; undefined for anything else. */
	freeSize(address: Kaddr): number | undefined {
		for (const [size, objects] of this.free) if (objects.includes(address)) return size;
		return undefined;
	}

	/** True if an address lies in an object that is free. */
	isFree(address: Kaddr): boolean {
		for (const [size, objects] of this.free) if (objects.includes((address & -size) | 0)) return true;
		return false;
	}

	/** False for an address that is not an object in use. NULL is allowed, as in the kernel. */
	kfree(address: Kaddr): boolean {
		if (address === 0) return true;
		const size = this.used.get(address);
		if (size === undefined) return false;
		this.used.delete(address);
		this.known = undefined;
		this.#memory.write(address, new Uint8Array(size).fill(POISON_FREE));
		this.free.get(size)!.push(address);
		return true;
	}

	/** A new copy of a string, with its NUL. 0 if there is no memory left; it does not throw. */
	kstrdup(text: string): Kaddr {
		const bytes = new TextEncoder().encode(`${text}\0`);
		const address = this.kmalloc(bytes.length, false);
		if (address !== 0) this.#memory.write(address, bytes);
		return address;
	}
}
