import { declareState, KlpemuError } from "../../base/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { Symbols } from "../ftrace/index.js";
import type { GuestArguments, GuestCalls, GuestMemory, Heap, HostFunctions } from "../guest/index.js";
import {
	type Klp,
	type klp_callbacks,
	klp_func,
	klp_get_prev_state,
	klp_object,
	klp_patch,
	type klp_state,
	refusalOf,
	type Shadow,
} from "../klp/index.js";
import { EINVAL, type Kernel } from "../lib/index.js";
import type { LoadedModule, Loader } from "../module/index.js";

/** Offsets in the structs of include/linux/livepatch.h, Linux 6.12 on x86-64; test/node/headers.test.ts checks them. */
const FUNC = { old_name: 0, new_func: 8, old_sympos: 16, size: 152 } as const;
const OBJECT = { name: 0, funcs: 8, callbacks: 16, mod: 152, patched: 161, size: 168 } as const;
const CALLBACKS = { pre_patch: 0, post_patch: 8, pre_unpatch: 16, post_unpatch: 24 } as const;
const STATE = { id: 0, version: 8, size: 24 } as const;
/** sizeof(struct module) of asm/include/linux/module.h. */
const MODULE_SIZE = 80;
const PATCH = { mod: 0, objs: 8, states: 16, replace: 24 } as const;

interface Parts {
	readonly memory: GuestMemory;
	readonly heap: Heap;
	readonly calls: GuestCalls;
	readonly symbols: Symbols;
	readonly klp: Klp;
	readonly loader: Loader;
	readonly shadow: Shadow;
}

/**
 * klp_enable_patch() and the other functions that livepatch modules in C call. Their structs are read from guest
 * memory.
 */
export class GuestLivepatch {
	static readonly state = declareState({ fields: ["made"] });

	readonly #parts: Parts;
	private readonly made = new Map<klp_state, Kaddr>();

	constructor(parts: Parts) {
		this.#parts = parts;
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
		// State of the core that the module may read: it is written to the guest's struct before guest code can read
		// it.
		const at = obj.address!;
		memory.setU64((at + OBJECT.mod) | 0, obj.mod === undefined ? 0n : toU64(loader.structOf(obj.mod as LoadedModule)));
		memory.setU8((at + OBJECT.patched) | 0, Number(obj.patched));
		return calls.call(address, toU64(at));
	}

	#callbacks(at: Kaddr): klp_callbacks {
		const of = (offset: number) => this.#pointer(at + OBJECT.callbacks + offset);
		const run = (address: Kaddr, obj: klp_object) => this.#callback(address, obj);
		const [pre_patch, post_patch, pre_unpatch, post_unpatch] = [
			of(CALLBACKS.pre_patch),
			of(CALLBACKS.post_patch),
			of(CALLBACKS.pre_unpatch),
			of(CALLBACKS.post_unpatch),
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
		const new_func = this.#pointer(at + FUNC.new_func);
		return new klp_func({
			old_name: this.#string(at + FUNC.old_name),
			new_func,
			new_name: new_func === 0 ? "" : symbols.sprint_symbol(new_func, true),
			old_sympos: Number(memory.u64((at + FUNC.old_sympos) | 0)),
		});
	}

	#string(at: number): string {
		const address = this.#pointer(at);
		return address === 0 ? "" : this.#parts.memory.string(toU64(address));
	}

	#object(at: Kaddr): klp_object {
		const funcs = this.#pointer(at + OBJECT.funcs);
		// klp_for_each_func_static(): the last one has no name, no function and no position.
		const end = (func: Kaddr) =>
			this.#pointer(func + FUNC.old_name) === 0 &&
			this.#pointer(func + FUNC.new_func) === 0 &&
			this.#parts.memory.u64((func + FUNC.old_sympos) | 0) === 0n;
		return new klp_object({
			name: this.#pointer(at + OBJECT.name) === 0 ? undefined : this.#string(at + OBJECT.name),
			funcs: [...this.#array(funcs, FUNC.size, end)].map((func) => this.#func(func)),
			callbacks: this.#callbacks(at),
			address: at,
		});
	}

	#states(start: Kaddr): klp_state[] {
		const { memory } = this.#parts;
		const id = (at: Kaddr) => memory.u64((at + STATE.id) | 0);
		return [...this.#array(start, STATE.size, (at) => id(at) === 0n)].map((address) => ({
			id: id(address),
			version: memory.u32((address + STATE.version) | 0),
			address,
		}));
	}

	/** The patch at an address; undefined if klp_enable_patch() refuses it at once. */
	#read(at: Kaddr): klp_patch | undefined {
		const objs = at === 0 ? 0 : this.#pointer(at + PATCH.objs);
		const modAt = at === 0 ? 0 : this.#pointer(at + PATCH.mod);
		if (modAt === 0 || objs === 0) return undefined;
		// klp_for_each_object_static(): the last one has neither functions nor a name.
		const end = (obj: Kaddr) => this.#pointer(obj + OBJECT.funcs) === 0 && this.#pointer(obj + OBJECT.name) === 0;
		const objects = [...this.#array(objs, OBJECT.size, end)];
		// An object with a name but without functions.
		if (objects.some((obj) => this.#pointer(obj + OBJECT.funcs) === 0)) return undefined;
		const mod = this.#parts.loader.moduleAt(modAt);
		if (mod === undefined) {
			// is_livepatch_module() looks into it, whatever it is.
			this.#parts.memory.read(modAt, MODULE_SIZE);
			return undefined;
		}
		const replace = this.#parts.memory.u8((at + PATCH.replace) | 0) !== 0;
		if (replace) this.#checkReplace(mod);
		mod.patch = new klp_patch({
			mod,
			objs: objects.map((obj) => this.#object(obj)),
			states: this.#states(this.#pointer(at + PATCH.states)),
			fields: { replace, ...mod.fields },
			address: at,
		});
		return mod.patch;
	}

	/** Linux 6.12 knows one field, `bool replace`. Another design may need to be told what it stands for. */
	#checkReplace({ name, fields }: LoadedModule): void {
		if ("replace" in fields) return;
		const refusal = refusalOf(this.#parts.klp.design, "replace", true, (key) => key in fields);
		if (refusal === undefined) return;
		const { message, hint } = refusal;
		throw new KlpemuError("SCENARIO_FOREIGN_KEY", `struct klp_patch of '${name}': ${message}`, { hint });
	}

	*#enable(at: Kaddr): Kernel<number> {
		const patch = this.#read(at);
		if (patch === undefined) return -EINVAL;
		return yield* this.#parts.klp.klp_enable_patch(patch);
	}

	/** A struct klp_state for guest code: the module's own, or one made for a livepatch that the scenario describes. */
	#stateAddress(state: klp_state | undefined): bigint {
		if (state === undefined) return 0n;
		const known = state.address ?? this.made.get(state);
		if (known !== undefined) return toU64(known);
		const { memory, heap } = this.#parts;
		const made = heap.kmalloc(STATE.size, true);
		if (made === 0) return 0n;
		memory.setU64(made, state.id);
		memory.setU32((made + STATE.version) | 0, state.version);
		this.made.set(state, made);
		return toU64(made);
	}

	*#allocShadow(args: GuestArguments, warn_on_exist: boolean): Kernel<bigint> {
		const { calls, shadow } = this.#parts;
		const [obj, id, size, ctor, ctor_data] = [
			args.u64(0),
			args.u64(1),
			Number(args.u64(2)),
			args.pointer(4),
			args.u64(5),
		];
		const construct =
			ctor === 0
				? undefined
				: function* (data: Kaddr): Kernel<number> {
						return Number(BigInt.asIntN(32, yield* calls.call(ctor, obj, toU64(data), ctor_data)));
					};
		const data = warn_on_exist
			? yield* shadow.klp_shadow_alloc(obj, id, size, construct)
			: yield* shadow.klp_shadow_get_or_alloc(obj, id, size, construct);
		return BigInt(data);
	}

	#dtor(address: Kaddr) {
		const { calls } = this.#parts;
		if (address === 0) return undefined;
		return function* (obj: bigint, data: Kaddr): Kernel<void> {
			yield* calls.call(address, obj, toU64(data));
		};
	}

	functions(): HostFunctions {
		const { klp, shadow } = this.#parts;
		const enable = (at: Kaddr) => this.#enable(at);
		const allocShadow = (args: GuestArguments, warn: boolean) => this.#allocShadow(args, warn);
		const dtor = (address: Kaddr) => this.#dtor(address);
		return {
			plain: {
				klp_get_state: (args) => {
					const states = this.#states(this.#pointer(args.pointer(0) + PATCH.states));
					return this.#stateAddress(states.find(({ id }) => id === args.u64(1)));
				},
				klp_get_prev_state: (args) => this.#stateAddress(klp_get_prev_state(klp, args.u64(0))),
				klp_shadow_get: (args) => BigInt(shadow.klp_shadow_get(args.u64(0), args.u64(1))),
			},
			sleeping: {
				*klp_enable_patch(args): Kernel<number> {
					return yield* enable(args.pointer(0));
				},
				klp_shadow_alloc: (args) => allocShadow(args, true),
				klp_shadow_get_or_alloc: (args) => allocShadow(args, false),
				*klp_shadow_free(args): Kernel<undefined> {
					yield* shadow.klp_shadow_free(args.u64(0), args.u64(1), dtor(args.pointer(2)));
					return undefined;
				},
				*klp_shadow_free_all(args): Kernel<undefined> {
					yield* shadow.klp_shadow_free_all(args.u64(0), dtor(args.pointer(1)));
					return undefined;
				},
			},
		};
	}
}
