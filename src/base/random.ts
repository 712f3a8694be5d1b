import { declareState } from "./state.js";

/**
 * Seeded pseudo random numbers (splitmix32): the same seed gives the same run on every machine. Its whole state is one
 * integer, so a snapshot can hold it.
 */
export class Random {
	static readonly state = declareState("Random", { fields: ["state"] });

	state: number;

	/** Uses all 64 bits of the seed. The upper half is mixed, so that 1 and 1 << 32 are different seeds. */
	constructor(seed: bigint | number) {
		const wide = BigInt.asUintN(64, BigInt(seed));
		this.state = Number(BigInt.asIntN(32, wide)) ^ mix(Number(BigInt.asIntN(32, wide >> 32n)));
	}

	/** An integer in [0, bound). */
	below(bound: number): number {
		this.state = (this.state + 0x9e3779b9) | 0;
		return (mix(this.state) >>> 0) % bound;
	}
}

/** A bijection of 32 bit integers in which every bit depends on every other; 0 stays 0. */
function mix(value: number): number {
	let z = value;
	z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
	z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
	return z ^ (z >>> 15);
}
