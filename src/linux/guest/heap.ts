import { declareState } from "../../base/index.js";
import { type Kaddr, type Memory, PAGE_SIZE, PERM } from "../../memory/index.js";

/**
 * The byte that fills a freed object (POISON_FREE of include/linux/poison.h): a stale pointer that is read from it is
 * not valid.
 */
export const POISON_FREE = 0x6b;
const SMALLEST = 8;
/** Smallest gap before an object, in bytes. */
const GAP = 32;

/** An object of the heap as an access sees it. */
export interface HeapObject {
	readonly address: Kaddr;
	/** What was asked for; the object may have more room. */
	readonly bytes: number;
	/** The call that has allocated it returns here; 0: the engine has. */
	readonly allocatedBy: Kaddr;
}

/** Room of an object for so many bytes. */
function roomFor(bytes: number): number {
	let room = SMALLEST;
	while (room < bytes) room *= 2;
	return room;
}

/**
 * Small objects lie behind a gap of their own size, at least {@link GAP}, so that an access before or behind one does not fall into
 * another one: as KASAN's redzones. Large ones lie behind a page that is not mapped.
 */
const gapBefore = (room: number) => (room < PAGE_SIZE ? Math.max(room, GAP) : PAGE_SIZE);

/**
 * kmalloc() and kfree(): sizes are powers of two, small ones share pages. An object that was freed last is handed out first.
 * Pages are mapped when they are first needed, and never given back.
 */
export class Heap {
	static readonly state = declareState("Heap", {
		fields: ["next", "free", "used"],
		unkeyed: ["allocators", "rooms", "isCanonical"],
		dropCaches: (heap: Heap) => {
			heap.known = undefined;
			heap.shadowed = false;
		},
	});

	readonly #memory: Memory;
	readonly #base: Kaddr;
	readonly #end: Kaddr;
	private next: Kaddr;
	/** Free objects by room. */
	private readonly free = new Map<number, Kaddr[]>();
	/** What was asked for, of each object in use. */
	private readonly used = new Map<Kaddr, number>();
	/** By object in use, see {@link HeapObject.allocatedBy}. */
	private readonly allocators = new Map<Kaddr, Kaddr>();
	/** The room of the objects in each page of small ones, and of each large object, by address. */
	private readonly rooms = new Map<Kaddr, number>();
	/** The memory's shadow is that of the objects in use now. */
	private shadowed = true;
	/** See {@link makeCanonical}. */
	private isCanonical = false;
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

	/** Objects in use: first byte, and bytes. */
	get objects(): ReadonlyMap<Kaddr, number> {
		return this.used;
	}

	/** Which objects are in use, and in which order free ones go out: two heaps of the same layout go on alike. */
	get layout(): string {
		this.known ??= `${[...this.used.keys()].join()};${[...this.free].map(([size, free]) => `${size}:${free.join()}`).join()}`;
		return this.known;
	}

	/** Maps a page for each small size, so that the first objects need no new ones. */
	warm(): void {
		for (let room = SMALLEST; room < PAGE_SIZE; room *= 2) {
			if (this.free.has(room)) continue;
			const free: Kaddr[] = [];
			this.free.set(room, free);
			this.#grow(room, free);
		}
		this.known = undefined;
	}

	/**
	 * From now on, the lowest free object is handed out first, and what is free has the contents of what was freed: two heaps with the same
	 * objects in use are equal, in whatever order these came and others went.
	 */
	makeCanonical(): void {
		this.isCanonical = true;
		const page = this.free.get(PAGE_SIZE) ?? [];
		this.free.set(PAGE_SIZE, page);
		if (page.length === 0) this.#grow(PAGE_SIZE, page);
		for (const [room, free] of this.free) this.#putInOrder(room, free, free.splice(0));
		this.known = undefined;
	}

	/** Adds free objects. */
	#putInOrder(room: number, free: Kaddr[], more: readonly Kaddr[]): void {
		for (const address of more) this.#poison(address, room);
		free.push(...more);
		if (this.isCanonical) free.sort((a, b) => b - a);
	}

	#poison(address: Kaddr, room: number): void {
		this.#memory.write(address, new Uint8Array(room).fill(POISON_FREE));
	}

	/** A new object, zeroed on request; 0 (NULL) if there is no memory left. `allocatedBy`: see {@link HeapObject}. */
	kmalloc(bytes: number, zero: boolean, allocatedBy: Kaddr = 0): Kaddr {
		const room = roomFor(bytes);
		const free = this.free.get(room) ?? [];
		this.free.set(room, free);
		if (free.length === 0 && !this.#grow(room, free)) return 0;
		const address = free.pop()!;
		this.known = undefined;
		this.used.set(address, bytes);
		this.allocators.set(address, allocatedBy);
		this.#memory.shadow?.allow(address, bytes);
		if (this.isCanonical) this.#sortUsed();
		if (zero) this.#memory.write(address, new Uint8Array(room));
		return address;
	}

	#sortUsed(): void {
		const inOrder = [...this.used].sort(([a], [b]) => a - b);
		this.used.clear();
		for (const [address, bytes] of inOrder) this.used.set(address, bytes);
	}

	#grow(room: number, free: Kaddr[]): boolean {
		const gap = gapBefore(room);
		// A large object lies behind its gap, which is not mapped.
		const isLarge = room >= PAGE_SIZE;
		const start = this.next + (isLarge ? gap : 0);
		const length = Math.max(room, PAGE_SIZE);
		if (start + length > this.#end) return false;
		this.#memory.map("heap", start, length, PERM.READ | PERM.WRITE);
		this.#memory.shadow?.forbid(start | 0, length);
		this.rooms.set(start | 0, room);
		// The lowest address goes out first.
		if (isLarge) free.push(start | 0);
		else for (let at = length - room; at >= gap; at -= 2 * gap) free.push((start + at) | 0);
		if (this.isCanonical) for (const address of free) this.#poison(address, room);
		this.next = (start + length) | 0;
		return true;
	}

	/** Makes the memory's shadow anew if the heap has been restored. */
	shadow(): void {
		const { shadow } = this.#memory;
		if (this.shadowed || shadow === undefined) return;
		this.shadowed = true;
		// What lies behind is not mapped.
		shadow.forbid(this.#base, this.next - this.#base);
		for (const [address, bytes] of this.used) shadow.allow(address, bytes);
	}

	/** An object could be there. */
	contains(address: Kaddr): boolean {
		return address >= this.#base && address < this.#end;
	}

	/** The bytes lie in one object in use. */
	holds(address: Kaddr, length: number): boolean {
		const room = this.#roomAt(address);
		if (room === undefined) return this.#largeHolds(address, length);
		const slot = 2 * gapBefore(room);
		const start = room < PAGE_SIZE ? ((address & -slot) + slot - room) | 0 : address & -PAGE_SIZE;
		const bytes = this.used.get(start);
		return bytes !== undefined && address >= start && address + length <= start + bytes;
	}

	/** The same behind the first page of a large object. */
	#largeHolds(address: Kaddr, length: number): boolean {
		for (const [start, bytes] of this.used) {
			if (bytes > PAGE_SIZE && address >= start && address + length <= start + bytes) return true;
		}
		return false;
	}

	/** The object in use that is next to the address. */
	nearest(address: Kaddr): HeapObject | undefined {
		let nearest: HeapObject | undefined;
		let least = Number.POSITIVE_INFINITY;
		for (const [start, bytes] of this.used) {
			const distance = Math.max(start - address, address - (start + bytes), 0);
			if (distance >= least) continue;
			least = distance;
			nearest = { address: start, bytes, allocatedBy: this.allocators.get(start) ?? 0 };
		}
		return nearest;
	}

	/** Bytes that an object in use has room for (ksize()); undefined for anything else. */
	usedSize(address: Kaddr): number | undefined {
		return this.used.has(address) ? this.#roomAt(address) : undefined;
	}

	/** The room of the objects in the page of an address. */
	#roomAt(address: Kaddr): number | undefined {
		return this.rooms.get(address & -PAGE_SIZE);
	}

	/** An object in use gets more or less of its room. */
	resize(address: Kaddr, bytes: number): void {
		this.used.set(address, bytes);
		this.#memory.shadow?.forbid(address, this.#roomAt(address)!);
		this.#memory.shadow?.allow(address, bytes);
	}

	/** Room of an object that is free; undefined for anything else. */
	freeSize(address: Kaddr): number | undefined {
		for (const [room, objects] of this.free) if (objects.includes(address)) return room;
		return undefined;
	}

	/** True if an address lies in an object that is free. */
	isFree(address: Kaddr): boolean {
		for (const [room, objects] of this.free) {
			if (objects.some((start) => address >= start && address < start + room)) return true;
		}
		return false;
	}

	/** False for an address that is not an object in use. NULL is allowed, as in the kernel. */
	kfree(address: Kaddr): boolean {
		if (address === 0) return true;
		const bytes = this.used.get(address);
		if (bytes === undefined) return false;
		const room = this.#roomAt(address)!;
		this.used.delete(address);
		this.#memory.shadow?.forbid(address, room);
		this.allocators.delete(address);
		this.known = undefined;
		this.#putInOrder(room, this.free.get(room)!, [address]);
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
