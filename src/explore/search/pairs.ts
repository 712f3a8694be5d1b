/** The largest part of the places that is in use. */
const MAX_LOAD = 0.82;
/** A full index becomes so many times as long: twice would leave half of it empty. */
const GROWTH = 1.3;
const FIRST_PLACES = 64;

/** Words of 32 bits, in memory that other threads can see if `shared`. */
export function words(count: number, shared: boolean): Int32Array {
	return shared ? new Int32Array(new SharedArrayBuffer(4 * count)) : new Int32Array(count);
}

/** What a table in another thread needs to be like this one. */
export interface PairsNews {
	/** Those that it does not have yet. */
	readonly chunks: readonly Int32Array[];
	readonly places: Int32Array;
	readonly length: number;
}

/**
 * A growing table of pairs of numbers, each there once: 8 bytes for a pair, 5 to 6 for its place in the index. A pair's
 * number is its place in the order of addition.
 */
export class Pairs {
	readonly #chunkBits: number;
	readonly #chunkMask: number;
	readonly #shared: boolean;
	/** The pairs, in chunks that are never copied. */
	readonly #chunks: Int32Array[] = [];
	/** Open addressing. Number of a pair plus one, with a part of its hash above it; 0: an empty place. */
	#places: Int32Array;
	/** A hash times this is its first place. */
	#scale = 0;
	/** The bits of a place that hold the number. */
	#numberMask = 0;
	/** Number of pairs with which the places are full enough. */
	#enough = 0;
	length = 0;

	/** `chunkBits`: 2 to the power of this is the number of pairs in a chunk. `shared`: other threads can look into it, see {@link news}. */
	constructor(chunkBits: number, shared = false) {
		this.#chunkBits = chunkBits;
		this.#chunkMask = (1 << chunkBits) - 1;
		this.#shared = shared;
		this.#places = words(FIRST_PLACES, shared);
		this.#usePlaces(this.#places);
	}

	#usePlaces(places: Int32Array): void {
		const count = places.length;
		this.#places = places;
		this.#scale = count / 2 ** 32;
		this.#numberMask = 2 ** Math.ceil(Math.log2(count)) - 1;
		this.#enough = Math.floor(count * MAX_LOAD);
	}

	/** What another thread, which has so many chunks, must know to look into a shared table. It may not while this one adds. */
	news(chunks: number): PairsNews {
		return { chunks: this.#chunks.slice(chunks), places: this.#places, length: this.length };
	}

	/** Takes the {@link news} of a table in another thread. Nothing is added here. */
	take({ chunks, places, length }: PairsNews): void {
		this.#chunks.push(...chunks);
		this.#usePlaces(places);
		this.length = length;
	}

	/** Number of chunks. */
	get chunks(): number {
		return this.#chunks.length;
	}

	/** The number of a pair; `-number - 1` if the pair is new. It is compared in full: the hash only gives the place to start. */
	add(a: number, b: number): number {
		const places = this.#places;
		const mask = this.#numberMask;
		const hash = hashOf(a, b);
		const tag = hash & ~mask;
		let place = placeOf(hash, this.#scale);
		for (let found = places[place]!; found !== 0; found = places[place]!) {
			if ((found & ~mask) === tag) {
				const number = (found & mask) - 1;
				const chunk = this.#chunks[number >> this.#chunkBits]!;
				const at = (number & this.#chunkMask) << 1;
				if (chunk[at] === a && chunk[at + 1] === b) return number;
			}
			if (++place === places.length) place = 0;
		}
		places[place] = tag | (this.length + 1);
		return this.#append(a, b);
	}

	/** The number of a pair that is there, or -1. */
	find(a: number, b: number): number {
		const places = this.#places;
		const mask = this.#numberMask;
		const hash = hashOf(a, b);
		const tag = hash & ~mask;
		let place = placeOf(hash, this.#scale);
		for (let found = places[place]!; found !== 0; found = places[place]!) {
			const number = (found & mask) - 1;
			if ((found & ~mask) === tag && this.first(number) === a && this.second(number) === b) return number;
			if (++place === places.length) place = 0;
		}
		return -1;
	}

	first(number: number): number {
		return this.#chunks[number >> this.#chunkBits]![(number & this.#chunkMask) << 1]!;
	}

	second(number: number): number {
		return this.#chunks[number >> this.#chunkBits]![((number & this.#chunkMask) << 1) + 1]!;
	}

	/** The first `count` pairs: both numbers of each. */
	saved(count: number): Int32Array {
		const numbers = new Int32Array(2 * count);
		for (let number = 0; number < count; number++) {
			numbers[2 * number] = this.first(number);
			numbers[2 * number + 1] = this.second(number);
		}
		return numbers;
	}

	get bytes(): number {
		return this.#places.byteLength + this.#chunks.length * (8 << this.#chunkBits);
	}

	#append(a: number, b: number): number {
		const number = this.length++;
		if (number >> this.#chunkBits === this.#chunks.length) {
			this.#chunks.push(words(2 << this.#chunkBits, this.#shared));
		}
		const chunk = this.#chunks[number >> this.#chunkBits]!;
		const at = (number & this.#chunkMask) << 1;
		chunk[at] = a;
		chunk[at + 1] = b;
		if (this.length >= this.#enough) this.#grow();
		return -number - 1;
	}

	#grow(): void {
		const count = Math.ceil(this.#places.length * GROWTH);
		// The old places are given back first: the pairs say all that the new ones need.
		this.#places = new Int32Array(0);
		this.#usePlaces(words(count, this.#shared));
		const places = this.#places;
		const [scale, mask] = [this.#scale, this.#numberMask];
		for (let number = 0; number < this.length; number++) {
			const hash = hashOf(this.first(number), this.second(number));
			let place = placeOf(hash, scale);
			while (places[place] !== 0) if (++place === count) place = 0;
			places[place] = (hash & ~mask) | (number + 1);
		}
	}
}

/** The first place: from other bits than the part of the hash that the place holds. */
function placeOf(hash: number, scale: number): number {
	return ((Math.imul(hash, 0x9e3779b1) >>> 0) * scale) | 0;
}

/** 32 bits, each of which depends on both numbers. */
function hashOf(a: number, b: number): number {
	let hash = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b);
	hash = Math.imul(hash ^ (hash >>> 16), 0x21f0aaad);
	hash = Math.imul(hash ^ (hash >>> 15), 0x735a2d97);
	return hash ^ (hash >>> 15);
}
