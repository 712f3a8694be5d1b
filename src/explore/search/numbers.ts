/** Numbers in one chunk of a list: 2 to the power of this. */
const CHUNK_BITS = 12;
const CHUNK = 1 << CHUNK_BITS;

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

	/** A copy of all. */
	all(): Int32Array {
		const all = new Int32Array(this.length);
		for (const [index, chunk] of this.#chunks.entries()) {
			const at = index << CHUNK_BITS;
			all.set(chunk.subarray(0, this.length - at), at);
		}
		return all;
	}

	get bytes(): number {
		return this.#chunks.length * CHUNK * Int32Array.BYTES_PER_ELEMENT;
	}
}
