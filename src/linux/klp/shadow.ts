import { declareState } from "../../base/index.js";
import { hex, type Kaddr } from "../../memory/index.js";
import type { Slab } from "../guest/index.js";
import { type Dmesg, type Kernel, Printer } from "../lib/index.js";

interface klp_shadow {
	readonly obj: bigint;
	readonly id: bigint;
	readonly data: Kaddr;
}

/** Initialises a new variable; non-zero: the variable is not attached. */
export type klp_shadow_ctor_t = (data: Kaddr) => Kernel<number>;
export type klp_shadow_dtor_t = (obj: bigint, data: Kaddr) => Kernel<void>;

/** kernel/livepatch/shadow.c: variables attached to <obj, id>, for fields that a struct does not have. */
export class Shadow {
	static readonly state = declareState("Shadow", { fields: ["shadows"] });

	readonly #dmesg: Dmesg;
	readonly #slab: Slab;
	readonly #print: Printer;
	/** klp_shadow_hash. The kernel's order is that of its hash; here it is the order of attaching. */
	private readonly shadows: klp_shadow[] = [];

	constructor(dmesg: Dmesg, slab: Slab) {
		this.#dmesg = dmesg;
		this.#slab = slab;
		this.#print = new Printer(dmesg, "livepatch: ");
	}

	/** Number of variables. */
	get count(): number {
		return this.shadows.length;
	}

	/** Address of the data; 0 (NULL) if there is no such variable. */
	klp_shadow_get(obj: bigint, id: bigint): Kaddr {
		return this.shadows.find((shadow) => shadow.obj === obj && shadow.id === id)?.data ?? 0;
	}

	*#__klp_shadow_get_or_alloc(
		obj: bigint,
		id: bigint,
		size: number,
		ctor: klp_shadow_ctor_t | undefined,
		warn_on_exist: boolean,
	): Kernel<Kaddr> {
		const existing = this.klp_shadow_get(obj, id);
		if (existing !== 0) {
			const what = `Duplicate shadow variable <${hex(obj)}, ${id.toString(16)}>`;
			return this.#dmesg.WARN_ON(warn_on_exist, what) ? 0 : existing;
		}
		const data = this.#slab.kmalloc("klp_shadow", size, true);
		if (data === 0) return 0;
		const err = ctor === undefined ? 0 : yield* ctor(data);
		if (err !== 0) {
			this.#slab.kfree(data);
			this.#print.pr_err(`Failed to construct shadow variable <${hex(obj)}, ${id.toString(16)}> (${err})`);
			return 0;
		}
		this.shadows.push({ obj, id, data });
		return data;
	}

	/**
	 * Adds a variable and returns its data. 0: it exists already (a WARN), there is no memory, or the constructor
	 * fails.
	 */
	klp_shadow_alloc(obj: bigint, id: bigint, size: number, ctor: klp_shadow_ctor_t | undefined): Kernel<Kaddr> {
		return this.#__klp_shadow_get_or_alloc(obj, id, size, ctor, true);
	}

	/** The existing variable, or a new one. */
	klp_shadow_get_or_alloc(obj: bigint, id: bigint, size: number, ctor: klp_shadow_ctor_t | undefined): Kernel<Kaddr> {
		return this.#__klp_shadow_get_or_alloc(obj, id, size, ctor, false);
	}

	*#free(shadow: klp_shadow, dtor: klp_shadow_dtor_t | undefined): Kernel<void> {
		this.shadows.splice(this.shadows.indexOf(shadow), 1);
		if (dtor !== undefined) yield* dtor(shadow.obj, shadow.data);
		this.#slab.kfree(shadow.data);
	}

	*klp_shadow_free(obj: bigint, id: bigint, dtor: klp_shadow_dtor_t | undefined): Kernel<void> {
		const shadow = this.shadows.find((candidate) => candidate.obj === obj && candidate.id === id);
		if (shadow !== undefined) yield* this.#free(shadow, dtor);
	}

	*klp_shadow_free_all(id: bigint, dtor: klp_shadow_dtor_t | undefined): Kernel<void> {
		for (const shadow of this.shadows.filter((candidate) => candidate.id === id)) yield* this.#free(shadow, dtor);
	}
}
