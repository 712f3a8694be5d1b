/** Numbers in one chunk of a list: 2 to the power of this. */
const CHUNK_BITS = 12;
const CHUNK = 1 << CHUNK_BITS;
/** The largest part of the places that is in use. */
const MAX_LOAD = 0.8;
/** A full list of rows becomes so many times as long. */
const GROWTH = 1.5;

/** A growing list of 32-bit numbers, in chunks that are never copied. */
export class Numbers {
	readonly #chunks: Int32Array[] = [];
	length = 0;

	push(value: number): void {
		const at = this.length & (CHUNK - 1);
		if (at === 0) this.#chunks.push(new Int32Array(CHUNK));
		this.#chunks[this.#chunks.length - 1]![at] = value;
		this.length++;
	}

	/** The number at `index`; 0 behind the end. */
	at(index: number): number {
		return index < this.length ? this.#chunks[index >> CHUNK_BITS]![index & (CHUNK - 1)]! : 0;
	}

	/** Adds to the number at `index`; the list grows if needed. */
	add(index: number, value: number): void {
		while (this.length <= index) this.push(0);
		this.#chunks[index >> CHUNK_BITS]![index & (CHUNK - 1)]! += value;
	}

	get bytes(): number {
		return this.#chunks.length * CHUNK * Int32Array.BYTES_PER_ELEMENT;
	}
}

/** A growing table of rows of numbers, each there once. A row's number is its place in the order of addition. */
class Rows {
	readonly width: number;
	#items: Int32Array;
	/** Open addressing: number of a row plus one, 0 for an empty place. */
	#places = new Int32Array(64);
	/** Number of rows with which the places are full enough. */
	#enough = 64 * MAX_LOAD;
	/** The row that was asked for last: the next state often has it, too. */
	#last = 0;
	length = 0;

	constructor(width: number) {
		this.width = width;
		this.#items = new Int32Array(16 * width);
	}

	/**
	 * The number of the row that begins at `start` of `from`; it is added if it is new. Rows are compared in full: the
	 * hash only gives the place to start.
	 */
	add(from: Int32Array, start: number): number {
		if (this.#last < this.length && this.#same(this.#last, from, start)) return this.#last;
		const places = this.#places;
		const mask = places.length - 1;
		let place = this.#hash(from, start) & mask;
		for (let found = places[place]!; found !== 0; found = places[place]!) {
			if (this.#same(found - 1, from, start)) {
				this.#last = found - 1;
				return found - 1;
			}
			place = (place + 1) & mask;
		}
		places[place] = this.length + 1;
		return this.#append(from, start);
	}

	#append(from: Int32Array, start: number): number {
		const { width } = this;
		const row = this.length++;
		if (row * width === this.#items.length) {
			const items = new Int32Array(width * Math.ceil(row * GROWTH));
			items.set(this.#items);
			this.#items = items;
		}
		for (let i = 0; i < width; i++) this.#items[row * width + i] = from[start + i]!;
		this.#last = row;
		if (this.length > this.#enough) this.#grow();
		return row;
	}

	value(row: number, column: number): number {
		return this.#items[row * this.width + column]!;
	}

	/** Copies a row to `start` of `into`. */
	read(row: number, into: Int32Array, start: number): void {
		const { width } = this;
		for (let i = 0; i < width; i++) into[start + i] = this.#items[row * width + i]!;
	}

	get bytes(): number {
		return this.#items.byteLength + this.#places.byteLength;
	}

	#same(row: number, from: Int32Array, start: number): boolean {
		const { width } = this;
		const items = this.#items;
		for (let i = 0; i < width; i++) if (items[row * width + i] !== from[start + i]) return false;
		return true;
	}

	#hash(from: Int32Array, start: number): number {
		let hash = 0x243f6a88;
		for (let i = 0; i < this.width; i++) {
			hash = Math.imul(hash ^ from[start + i]!, 0x21f0aaad);
			hash ^= hash >>> 15;
		}
		hash = Math.imul(hash, 0x735a2d97);
		return hash ^ (hash >>> 15);
	}

	#grow(): void {
		const places = new Int32Array(2 * this.#places.length);
		const mask = places.length - 1;
		for (let row = 0; row < this.length; row++) {
			let place = this.#hash(this.#items, row * this.width) & mask;
			while (places[place] !== 0) place = (place + 1) & mask;
			places[place] = row + 1;
		}
		this.#places = places;
		this.#enough = places.length * MAX_LOAD;
	}
}

/**
 * The states that have been visited: a growing table of rows of numbers, each there once. There are few halves of rows,
 * without the first column, so that each half is stored once; a row is its first column and the numbers of its halves.
 */
export class Table {
	readonly width: number;
	readonly #left: Rows;
	readonly #right: Rows;
	readonly #rows = new Rows(3);
	/** The first column and the numbers of the halves. */
	readonly #short = new Int32Array(3);

	/** `width`: at least 3. */
	constructor(width: number) {
		this.width = width;
		this.#left = new Rows((width - 1) >> 1);
		this.#right = new Rows(width >> 1);
	}

	get length(): number {
		return this.#rows.length;
	}

	/** The number of a row; `-number - 1` if the row is new. */
	add(row: Int32Array): number {
		const short = this.#short;
		short[0] = row[0]!;
		short[1] = this.#left.add(row, 1);
		short[2] = this.#right.add(row, 1 + this.#left.width);
		const before = this.#rows.length;
		const added = this.#rows.add(short, 0);
		return added < before ? added : -added - 1;
	}

	/** The number in the first column. */
	first(row: number): number {
		return this.#rows.value(row, 0);
	}

	/** Copies a row into `into`. */
	read(row: number, into: Int32Array): void {
		into[0] = this.#rows.value(row, 0);
		this.#left.read(this.#rows.value(row, 1), into, 1);
		this.#right.read(this.#rows.value(row, 2), into, 1 + this.#left.width);
	}

	get bytes(): number {
		return this.#rows.bytes + this.#left.bytes + this.#right.bytes;
	}
}
