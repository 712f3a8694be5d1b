/** A 128-bit hash over a sequence of texts: four lanes that differ in their factor. */
export class Hash {
	readonly #lanes = Int32Array.of(0x243f6a88, 0x05a308d3, 0x13198a2e, 0x03707344);

	add(text: string): void {
		const lanes = this.#lanes;
		let [a, b, c, d] = lanes as unknown as [number, number, number, number];
		for (let i = 0; i <= text.length; i++) {
			// Each text ends in a code that no text contains, so that ("ab", "c") and ("a", "bc") have different
			// hashes.
			const code = i < text.length ? text.charCodeAt(i) : 0x10000;
			a = Math.imul(a ^ code, 0x21f0aaad);
			a ^= a >>> 15;
			b = Math.imul(b ^ code, 0x735a2d97);
			b ^= b >>> 14;
			c = Math.imul(c ^ code, 0x2c1b3c6d);
			c ^= c >>> 13;
			d = Math.imul(d ^ code, 0x297a2d39);
			d ^= d >>> 16;
		}
		lanes.set([a, b, c, d]);
	}

	digest(): string {
		return [...this.#lanes].map((lane) => (lane >>> 0).toString(36)).join(".");
	}
}
