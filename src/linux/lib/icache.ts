import type { Cpu } from "../../cpu/index.js";
import { type Kaddr, toKaddr } from "../../memory/index.js";

/** The Cpu's cache of code: the Cpu must learn of each change before it runs the changed code. */
export class Icache {
	readonly #cpu: Cpu;
	/** Ranges that have changed since {@link hold}: address and length. Undefined: the Cpu learns of changes at once. */
	private held: Map<Kaddr, number> | undefined = undefined;

	constructor(cpu: Cpu) {
		this.#cpu = cpu;
	}

	/** `length` bytes of code from `address` on have changed. */
	flush_icache_range(address: Kaddr | bigint, length: number): void {
		if (this.held === undefined) this.#cpu.textChanged(address, length);
		else {
			const start = typeof address === "bigint" ? toKaddr(address) : address;
			this.held.set(start, Math.max(length, this.held.get(start) ?? 0));
		}
	}

	/**
	 * From now on the Cpu learns of changes when {@link deliver} is called. For a host that changes code and restores
	 * it many times between two runs of the Cpu, such as the explorer.
	 */
	hold(): void {
		this.held ??= new Map();
	}

	/** Tells the Cpu the changes that were held back. Must be called before the Cpu runs. */
	deliver(): void {
		for (const [address, length] of this.held ?? []) this.#cpu.textChanged(address, length);
		this.held?.clear();
	}
}
