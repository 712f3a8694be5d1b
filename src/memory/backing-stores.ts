const MAX_STORES = 4;

/** A WebAssembly.Memory that nobody uses any more. All its other bytes are zero. */
interface Store {
	readonly wasm: WebAssembly.Memory;
	/** Bytes that may be other than zero. */
	readonly used: readonly (readonly [start: number, end: number])[];
}

/**
 * The backing stores of memories that are closed, for the next memories of the same size. The host takes longer to give new pages than
 * to clear old ones, and V8 collects the garbage of the whole process for each 64 MiB of new ones.
 */
export class BackingStores {
	/** A module-level cache, but of zeroes: nothing can depend on it. */
	static readonly ofProcess = new BackingStores();

	/** Oldest first. */
	readonly #stores: Store[] = [];

	/** A store of so many bytes, all zero; undefined if there is none. */
	take(bytes: number): WebAssembly.Memory | undefined {
		const index = this.#stores.findLastIndex(({ wasm }) => wasm.buffer.byteLength === bytes);
		if (index < 0) return undefined;
		const [{ wasm, used }] = this.#stores.splice(index, 1) as [Store];
		const content = new Uint8Array(wasm.buffer);
		for (const [start, end] of used) content.fill(0, start, end);
		return wasm;
	}

	/** From now on nobody else uses the store. */
	give(store: Store): void {
		this.#stores.push(store);
		if (this.#stores.length > MAX_STORES) this.#stores.shift();
	}
}
