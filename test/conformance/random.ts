/** Seeded random numbers for tests: splitmix64. */
export class Random {
	#state: bigint;

	constructor(seed: bigint | number) {
		this.#state = BigInt(seed);
	}

	word(): bigint {
		this.#state = BigInt.asUintN(64, this.#state + 0x9e3779b97f4a7c15n);
		let z = this.#state;
		z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
		z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
		return z ^ (z >> 31n);
	}

	/** 0 to `end` - 1. */
	below(end: number): number {
		return Number(this.word() % BigInt(end));
	}

	pick<T>(items: readonly T[]): T {
		return items[this.below(items.length)]!;
	}
}
