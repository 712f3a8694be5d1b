/**
 * Seeded pseudo random numbers (splitmix32): the same seed gives the same run on every machine. Its whole state is one
 * integer, so a snapshot can hold it.
 */
export class Random {
	state: number;

	/** Takes all 64 bits of the seed into account. */
	constructor(seed: bigint | number) {
		const wide = BigInt.asUintN(64, BigInt(seed));
		this.state = Number((wide ^ (wide >> 32n)) & 0xffffffffn) | 0;
	}

	/** An integer in [0, bound). */
	below(bound: number): number {
		this.state = (this.state + 0x9e3779b9) | 0;
		let z = this.state;
		z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
		z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
		return ((z ^ (z >>> 15)) >>> 0) % bound;
	}
}
