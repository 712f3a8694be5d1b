/** A growing table of rows of numbers, each there once: the states that have been visited. */
export class Table {
	readonly width: number;
	#rows: Int32Array;
	/** Open addressing: row number plus one, 0 for an empty place. */
	#places: Int32Array;
	length = 0;

	constructor(width: number) {
		this.width = width;
		this.#rows = new Int32Array(width * 1024);
		this.#places = new Int32Array(4096);
	}

	/**
	 * The number of a row; `-number - 1` if the row is new. Rows are compared in full: the hash only gives the place to
	 * start.
	 */
	add(row: ArrayLike<number>): number {
		if (2 * (this.length + 1) > this.#places.length) this.#grow();
		let place = this.#hash(row) & (this.#places.length - 1);
		for (;;) {
			const found = this.#places[place]!;
			if (found === 0) break;
			if (this.#same(found - 1, row)) return found - 1;
			place = (place + 1) & (this.#places.length - 1);
		}
		const at = this.length++;
		if (at * this.width >= this.#rows.length) {
			const rows = new Int32Array(this.#rows.length * 2);
			rows.set(this.#rows);
			this.#rows = rows;
		}
		for (let i = 0; i < this.width; i++) this.#rows[at * this.width + i] = row[i]!;
		this.#places[place] = at + 1;
		return -at - 1;
	}

	value(row: number, column: number): number {
		return this.#rows[row * this.width + column]!;
	}

	/** Copies a row into `into`. */
	read(row: number, into: Int32Array): void {
		for (let i = 0; i < this.width; i++) into[i] = this.#rows[row * this.width + i]!;
	}

	get bytes(): number {
		return this.#rows.byteLength + this.#places.byteLength;
	}

	#same(at: number, row: ArrayLike<number>): boolean {
		const start = at * this.width;
		for (let i = 0; i < this.width; i++) if (this.#rows[start + i] !== row[i]) return false;
		return true;
	}

	#hash(row: ArrayLike<number>): number {
		let hash = 0x243f6a88;
		for (let i = 0; i < this.width; i++) {
			hash = Math.imul(hash ^ row[i]!, 0x21f0aaad);
			hash ^= hash >>> 15;
		}
		return Math.imul(hash, 0x735a2d97) >>> 0;
	}

	#grow(): void {
		this.#places = new Int32Array(this.#places.length * 2);
		const row = new Int32Array(this.width);
		for (let at = 0; at < this.length; at++) {
			this.read(at, row);
			let place = this.#hash(row) & (this.#places.length - 1);
			while (this.#places[place] !== 0) place = (place + 1) & (this.#places.length - 1);
			this.#places[place] = at + 1;
		}
	}
}

/** A growing list of numbers. */
export class Numbers {
	#items = new Int32Array(1024);
	length = 0;

	push(value: number): void {
		if (this.length === this.#items.length) {
			const items = new Int32Array(2 * this.length);
			items.set(this.#items);
			this.#items = items;
		}
		this.#items[this.length++] = value;
	}

	/** The number at `index`; 0 behind the end. */
	at(index: number): number {
		return this.#items[index] ?? 0;
	}

	/** Adds to the number at `index`; the list grows if needed. */
	add(index: number, value: number): void {
		while (this.length <= index) this.push(0);
		this.#items[index] = this.#items[index]! + value;
	}

	get bytes(): number {
		return this.#items.byteLength;
	}
}
