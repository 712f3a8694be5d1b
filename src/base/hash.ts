/** Each text ends in a code that no text contains, so that ("ab", "c") and ("a", "bc") have different hashes. */
const END = 0x10000;

/** A 128-bit hash over a sequence of texts and numbers: four lanes that differ in their factor. */
export class Hash {
	// Fields and not an array: the hash of a kernel state is a good part of an exploration's time.
	#a = 0x243f6a88;
	#b = 0x05a308d3;
	#c = 0x13198a2e;
	#d = 0x03707344;

	add(text: string): void {
		for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
		this.#mix(END);
	}

	/** Adds a whole number of 32 bits. What was added before must tell that a number comes here, and no text. */
	addInt(value: number): void {
		this.#mix(value);
	}

	addBytes(bytes: Uint8Array): void {
		this.#mix(bytes.length);
		// A whole number of words, at an address that may hold words.
		const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
		padded.set(bytes);
		const words = new Int32Array(padded.buffer);
		for (let i = 0; i < words.length; i++) this.#mix(words[i]!);
	}

	#mix(code: number): void {
		const a = Math.imul(this.#a ^ code, 0x21f0aaad);
		this.#a = a ^ (a >>> 15);
		const b = Math.imul(this.#b ^ code, 0x735a2d97);
		this.#b = b ^ (b >>> 14);
		const c = Math.imul(this.#c ^ code, 0x2c1b3c6d);
		this.#c = c ^ (c >>> 13);
		const d = Math.imul(this.#d ^ code, 0x297a2d39);
		this.#d = d ^ (d >>> 16);
	}

	/** Four numbers in base 36. */
	digest(): string {
		return [this.#a, this.#b, this.#c, this.#d].map((lane) => (lane >>> 0).toString(36)).join(".");
	}
}

/** 128 bits that tell contents apart which nobody has made to be equal. */
export function hashOfBytes(bytes: Uint8Array): string {
	const hash = new Hash();
	hash.addBytes(bytes);
	return hash.digest();
}
