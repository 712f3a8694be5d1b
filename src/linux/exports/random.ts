import { declareState, Random } from "../../base/index.js";
import type { GuestMemory, HostFunctions } from "../guest/index.js";

/** drivers/char/random.c: random numbers that depend on the seed alone, and disturb no schedule. */
export class GuestRandom {
	static readonly state = declareState("GuestRandom", { fields: ["random"] });

	readonly #memory: GuestMemory;
	private readonly random: Random;

	constructor(memory: GuestMemory, seed: bigint | number) {
		this.#memory = memory;
		this.random = new Random(BigInt(seed) ^ 0x72616e646f6dn);
	}

	#bits(count: number): bigint {
		let value = 0n;
		for (let bits = 0; bits < count; bits += 8) value = (value << 8n) | BigInt(this.random.below(256));
		return value;
	}

	functions(): HostFunctions {
		const numbers = [8, 16, 32, 64].map((bits) => [`get_random_u${bits}`, () => this.#bits(bits)] as const);
		return {
			plain: {
				...Object.fromEntries(numbers),
				// Below 0 is any number, as in the kernel.
				__get_random_u32_below: (args) => (args.u32(0) === 0 ? this.#bits(32) : this.random.below(args.u32(0))),
				// (buffer, length)
				get_random_bytes: (args) => {
					const bytes = Uint8Array.from({ length: Number(args.u64(1)) }, () => this.random.below(256));
					this.#memory.write(args.pointer(0), bytes);
					return undefined;
				},
			},
			sleeping: {},
		};
	}
}
