import type { KernelState } from "./kernel-state.js";
import type { StateTable } from "./state-table.js";

/**
 * The order in which a search has come to kernel states, those with the same text together. Their numbers say in which order they were
 * executed, which depends on what was executed ahead.
 */
export class Arrivals {
	readonly #table: StateTable;
	readonly #states: readonly KernelState[];
	/** States of the table that were looked at. */
	#looked = 0;
	/** By number. */
	readonly #kernels: number[] = [];
	readonly #texts: number[] = [];

	constructor(table: StateTable, states: readonly KernelState[]) {
		this.#table = table;
		this.#states = states;
	}

	/** All that is in the table has arrived. */
	look(): void {
		for (; this.#looked < this.#table.length; this.#looked++) {
			const kernel = this.#table.first(this.#looked);
			if (this.#kernels[kernel] !== undefined) continue;
			this.#kernels[kernel] = this.#looked;
			this.#texts[this.#states[kernel]!.text] ??= this.#looked;
		}
	}

	/** Of two kernel states that have arrived: negative if the first one comes first. */
	compare(a: number, b: number): number {
		const text = (kernel: number) => this.#texts[this.#states[kernel]!.text]!;
		return text(a) - text(b) || this.#kernels[a]! - this.#kernels[b]!;
	}
}
