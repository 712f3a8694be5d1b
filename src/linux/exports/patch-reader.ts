import { type Kaddr, toU64 } from "../../memory/index.js";
import type { Symbols } from "../ftrace/index.js";
import type { GuestCalls, GuestMemory } from "../guest/index.js";
import {
	bool,
	type Field,
	type FieldValues,
	type Klp,
	type klp_callbacks,
	klp_func,
	klp_object,
	klp_patch,
	type klp_state,
} from "../klp/index.js";
import type { Kernel, KernelLayout } from "../lib/index.js";
import { type LoadedModule, type Loader, structIn } from "../module/index.js";

interface Parts {
	readonly memory: GuestMemory;
	readonly calls: GuestCalls;
	readonly symbols: Symbols;
	readonly loader: Loader;
	readonly klp: Klp;
}

/** The structs of a livepatch, in one layout. Throws `LAYOUT_MISSING`. */
function structsIn(layout: KernelLayout) {
	return {
		klp_func: structIn(layout, "klp_func", "old_name", "new_func", "old_sympos"),
		klp_object: structIn(layout, "klp_object", "name", "funcs", "callbacks", "mod", "patched"),
		klp_callbacks: structIn(layout, "klp_callbacks", "pre_patch", "post_patch", "pre_unpatch", "post_unpatch"),
		klp_state: structIn(layout, "klp_state", "id", "version"),
		klp_patch: structIn(layout, "klp_patch", "mod", "objs", "states"),
	};
}

/** Reads a module's struct klp_patch, and what hangs on it, from guest memory, in the layout that the module was compiled for. */
export class PatchReader {
	readonly #parts: Parts;
	readonly #layout: KernelLayout;
	readonly #structs: ReturnType<typeof structsIn>;

	constructor(parts: Parts, layout: KernelLayout) {
		this.#parts = parts;
		this.#layout = layout;
		this.#structs = structsIn(layout);
	}

	#pointer(address: number): Kaddr {
		return this.#parts.memory.kaddr(address | 0);
	}

	/** Entries of an array of structs that ends with an entry for which `last` is true. */
	*#array(start: Kaddr, size: number, last: (at: Kaddr) => boolean): Generator<Kaddr, void, void> {
		if (start === 0) return;
		for (let at = start; !last(at); at = (at + size) | 0) yield at;
	}

	#callback(address: Kaddr, obj: klp_object): Kernel<bigint> {
		const { memory, loader, calls } = this.#parts;
		const { klp_object } = this.#structs;
		// State of the core that the module may read: it is written to the guest's struct before guest code can read
		// it.
		const at = obj.address!;
		memory.setU64(
			(at + klp_object.mod) | 0,
			obj.mod === undefined ? 0n : toU64(loader.structOf(obj.mod as LoadedModule)),
		);
		memory.setU8((at + klp_object.patched) | 0, Number(obj.patched));
		return calls.call(address, toU64(at));
	}

	#callbacks(at: Kaddr): klp_callbacks {
		const of = (offset: number) => this.#pointer(at + this.#structs.klp_object.callbacks + offset);
		const run = (address: Kaddr, obj: klp_object) => this.#callback(address, obj);
		const [pre_patch, post_patch, pre_unpatch, post_unpatch] = [
			of(this.#structs.klp_callbacks.pre_patch),
			of(this.#structs.klp_callbacks.post_patch),
			of(this.#structs.klp_callbacks.pre_unpatch),
			of(this.#structs.klp_callbacks.post_unpatch),
		];
		const plain = (address: Kaddr) =>
			function* (obj: klp_object): Kernel<void> {
				yield* run(address, obj);
			};
		return {
			...(pre_patch !== 0 && {
				*pre_patch(obj: klp_object): Kernel<number> {
					return Number(BigInt.asIntN(32, yield* run(pre_patch, obj)));
				},
			}),
			...(post_patch !== 0 && { post_patch: plain(post_patch) }),
			...(pre_unpatch !== 0 && { pre_unpatch: plain(pre_unpatch) }),
			...(post_unpatch !== 0 && { post_unpatch: plain(post_unpatch) }),
		};
	}

	#func(at: Kaddr): klp_func {
		const { memory, symbols } = this.#parts;
		const new_func = this.#pointer(at + this.#structs.klp_func.new_func);
		return new klp_func({
			old_name: this.#string(at + this.#structs.klp_func.old_name),
			new_func,
			new_name: new_func === 0 ? "" : symbols.sprint_symbol(new_func, true),
			old_sympos: Number(memory.u64((at + this.#structs.klp_func.old_sympos) | 0)),
			fields: this.#fields("klp_func", at, this.#parts.klp.design.funcFields ?? []),
		});
	}

	#string(at: number): string {
		const address = this.#pointer(at);
		return address === 0 ? "" : this.#parts.memory.string(toU64(address));
	}

	#object(at: Kaddr): klp_object {
		const funcs = this.#pointer(at + this.#structs.klp_object.funcs);
		// klp_for_each_func_static(): the last one has no name, no function and no position.
		const end = (func: Kaddr) =>
			this.#pointer(func + this.#structs.klp_func.old_name) === 0 &&
			this.#pointer(func + this.#structs.klp_func.new_func) === 0 &&
			this.#parts.memory.u64((func + this.#structs.klp_func.old_sympos) | 0) === 0n;
		return new klp_object({
			name:
				this.#pointer(at + this.#structs.klp_object.name) === 0
					? undefined
					: this.#string(at + this.#structs.klp_object.name),
			funcs: [...this.#array(funcs, this.#structs.klp_func.size, end)].map((func) => this.#func(func)),
			callbacks: this.#callbacks(at),
			address: at,
		});
	}

	#states(start: Kaddr): klp_state[] {
		const { memory } = this.#parts;
		const id = (at: Kaddr) => memory.u64((at + this.#structs.klp_state.id) | 0);
		return [...this.#array(start, this.#structs.klp_state.size, (at) => id(at) === 0n)].map((address) => ({
			id: id(address),
			version: memory.u32((address + this.#structs.klp_state.version) | 0),
			address,
		}));
	}

	/** Where its struct module is; 0: it names none. */
	moduleOf(patch: Kaddr): Kaddr {
		return patch === 0 ? 0 : this.#pointer(patch + this.#structs.klp_patch.mod);
	}

	/** Its states, in guest memory. */
	statesOf(patch: Kaddr): klp_state[] {
		return this.#states(this.#pointer(patch + this.#structs.klp_patch.states));
	}

	/** The fields of struct klp_patch that decide what is replaced: mainline's, and those of the design that the struct has. */
	fieldsOf(patch: Kaddr): FieldValues {
		return this.#fields("klp_patch", patch, [bool("replace", false, ""), ...this.#parts.klp.design.fields]);
	}

	/** A kernel with a proposal has fields that others lack. */
	#fields(struct: string, at: Kaddr, fields: readonly Field[]): FieldValues {
		const { memory } = this.#parts;
		const there = fields.filter(({ name }) => this.#layout.has(`${struct}.${name}`));
		return Object.fromEntries(
			there.map(({ name, type }) => {
				const field = (at + this.#layout.offset(`${struct}.${name}`)) | 0;
				return [name, type === "bool" ? memory.u8(field) !== 0 : memory.u32(field)];
			}),
		);
	}

	/** The struct klp_objects of a patch; undefined if klp_enable_patch() refuses it because of them. */
	objectsOf(patch: Kaddr): readonly Kaddr[] | undefined {
		const { klp_patch, klp_object } = this.#structs;
		const objs = this.#pointer(patch + klp_patch.objs);
		if (objs === 0) return undefined;
		// klp_for_each_object_static(): the last one has neither functions nor a name.
		const funcs = (obj: Kaddr) => this.#pointer(obj + klp_object.funcs);
		const end = (obj: Kaddr) => funcs(obj) === 0 && this.#pointer(obj + klp_object.name) === 0;
		const objects = [...this.#array(objs, klp_object.size, end)];
		// An object with a name but without functions.
		return objects.some((obj) => funcs(obj) === 0) ? undefined : objects;
	}

	/** The patch of a module, read when it is enabled. */
	read(mod: LoadedModule, address: Kaddr, objects: readonly Kaddr[]): klp_patch {
		return new klp_patch({
			mod,
			objs: objects.map((obj) => this.#object(obj)),
			states: this.statesOf(address),
			fields: { ...this.fieldsOf(address), ...mod.fields },
			address,
		});
	}
}
