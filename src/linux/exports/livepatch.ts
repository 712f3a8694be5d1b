import { declareState, KlpemuError } from "../../base/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { Symbols } from "../ftrace/index.js";
import type { GuestArguments, GuestCalls, GuestMemory, Heap, HostFunctions } from "../guest/index.js";
import {
	type FieldValues,
	type Klp,
	klp_get_prev_state,
	type klp_patch,
	type klp_state,
	refusalOf,
	type Shadow,
} from "../klp/index.js";
import { EINVAL, type Kernel } from "../lib/index.js";
import { HEADERS_LAYOUT, type LoadedModule, type Loader, structIn } from "../module/index.js";
import { PatchReader } from "./patch-reader.js";

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
	static readonly state = declareState("GuestLivepatch", { fields: ["made"] });

	readonly #parts: Parts;
	/** For modules of asm/include. */
	readonly #headers: PatchReader;
	/** For .ko files. */
	readonly #kernel: PatchReader | undefined;
	private readonly made = new Map<klp_state, Kaddr>();

	constructor(parts: Parts) {
		this.#parts = parts;
		const { layout } = parts.loader;
		this.#headers = new PatchReader(parts, HEADERS_LAYOUT);
		this.#kernel = layout && new PatchReader(parts, layout);
	}

	/** Reads the patch at an address: in the layout of the module that it names. */
	#readerOf(patch: Kaddr): PatchReader {
		const kernel = this.#kernel;
		const mod = kernel && this.#parts.loader.moduleAt(kernel.moduleOf(patch));
		return mod?.isKernelObject ? kernel! : this.#headers;
	}

	/** The patch at an address; undefined if klp_enable_patch() refuses it at once. */
	#read(at: Kaddr): klp_patch | undefined {
		if (at === 0) return undefined;
		const reader = this.#readerOf(at);
		const modAt = reader.moduleOf(at);
		const objects = modAt === 0 ? undefined : reader.objectsOf(at);
		if (objects === undefined) return undefined;
		const mod = this.#parts.loader.moduleAt(modAt);
		if (mod === undefined) {
			// is_livepatch_module() looks into it, whatever it is.
			this.#parts.memory.read(modAt, HEADERS_LAYOUT.size("struct module"));
			return undefined;
		}
		this.#checkReplace(mod, reader.fieldsOf(at));
		mod.patch = reader.read(mod, at, objects);
		return mod.patch;
	}

	/** Linux 6.12 knows one field, `bool replace`. Another design may need to be told what it stands for. */
	#checkReplace({ name, fields }: LoadedModule, own: FieldValues): void {
		if ("replace" in fields || !own.replace) return;
		const given = { ...own, ...fields };
		const refusal = refusalOf(this.#parts.klp.design, "replace", true, (key) => key in given);
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
		const klp_state = structIn(HEADERS_LAYOUT, "klp_state", "id", "version");
		const made = heap.kmalloc(klp_state.size, true);
		if (made === 0) return 0n;
		memory.setU64((made + klp_state.id) | 0, state.id);
		memory.setU32((made + klp_state.version) | 0, state.version);
		this.made.set(state, made);
		return toU64(made);
	}

	/** (module, name, size): the section of a livepatch, and its size, for the init function that klp-build adds (Linux 7.0). */
	#findSection(args: GuestArguments): bigint {
		const { memory, loader } = this.#parts;
		const section = loader.moduleAt(args.pointer(0))?.image.sections(args.string(1))[0];
		memory.setU64(args.pointer(2), BigInt(section?.size ?? 0));
		return section === undefined ? 0n : toU64(section.address);
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
					const patch = args.pointer(0);
					const states = this.#readerOf(patch).statesOf(patch);
					return this.#stateAddress(states.find(({ id }) => id === args.u64(1)));
				},
				klp_find_section_by_name: (args) => this.#findSection(args),
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
