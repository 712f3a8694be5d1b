import { FormLibrary, prebuilt } from "./tier0/index.js";

const MAX_MODULES = 1024;

/**
 * Compiled WebAssembly modules, by everything that they were made of: Cpus that have the same text share them, so that
 * all but the first start fast. A module is a pure function of its key, so that sharing changes nothing but speed.
 */
export class CompiledModules {
	/**
	 * For all Cpus of the process that are given no other. A module-level cache, but of a pure function: nothing can
	 * depend on it.
	 */
	static readonly ofProcess = new CompiledModules(MAX_MODULES);

	#forms: FormLibrary | undefined;
	readonly #limit: number;
	/** In the order of their creation, oldest first. */
	readonly #modules = new Map<string, WebAssembly.Module>();

	/** If there are more modules than `limit`, the oldest are dropped. */
	constructor(limit: number) {
		this.#limit = limit;
	}

	/**
	 * The forms of instructions, for code that is not compiled.
	 * @internal
	 */
	get forms(): FormLibrary {
		this.#forms ??= new FormLibrary(prebuilt?.());
		return this.#forms;
	}

	get size(): number {
		return this.#modules.size;
	}

	/** @internal */
	find(key: string): WebAssembly.Module | undefined {
		return this.#modules.get(key);
	}

	/** @internal */
	add(key: string, module: WebAssembly.Module): void {
		this.#modules.set(key, module);
		for (const oldest of this.#modules.keys()) {
			if (this.#modules.size <= this.#limit) break;
			this.#modules.delete(oldest);
		}
	}
}
