import { declareState } from "../../base/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { Symbols } from "../ftrace/index.js";
import type { GuestArguments, GuestCalls, GuestMemory, HostFunctions, Slab } from "../guest/index.js";
import { type Dmesg, KERN, type Kernel } from "../lib/index.js";
import { __GFP_ZERO } from "./memory.js";

/** Offset of ctor in struct kmem_cache_args. */
const CTOR = 24;

interface Cache {
	readonly name: string;
	readonly size: number;
	/** 0: none. */
	readonly ctor: Kaddr;
}

/** mm/slab_common.c: caches of objects. Each object is one of the heap, and its constructor is called whenever it is allocated. */
export class SlabCaches {
	static readonly state = declareState("SlabCaches", { fields: ["caches", "objects"] });

	readonly #memory: GuestMemory;
	readonly #slab: Slab;
	readonly #dmesg: Dmesg;
	readonly #symbols: Symbols;
	readonly #calls: GuestCalls;
	/** By the address of the struct kmem_cache, which nobody reads. */
	private readonly caches = new Map<Kaddr, Cache>();
	/** The cache of each object in use. */
	private readonly objects = new Map<Kaddr, Kaddr>();

	constructor(parts: {
		readonly memory: GuestMemory;
		readonly slab: Slab;
		readonly dmesg: Dmesg;
		readonly symbols: Symbols;
		readonly calls: GuestCalls;
	}) {
		this.#memory = parts.memory;
		this.#slab = parts.slab;
		this.#dmesg = parts.dmesg;
		this.#symbols = parts.symbols;
		this.#calls = parts.calls;
	}

	/** kfree() frees objects of caches, too. */
	freed(object: Kaddr): void {
		this.objects.delete(object);
	}

	/** (name, size, args, flags) */
	#create(args: GuestArguments): bigint {
		const at = this.#slab.kmalloc("kmem_cache_create", 8, true, args.caller);
		if (at === 0) return 0n;
		const given = args.pointer(2);
		const ctor = given === 0 ? 0 : this.#memory.kaddr((given + CTOR) | 0);
		this.caches.set(at, { name: args.string(0), size: args.u32(1), ctor });
		return toU64(at);
	}

	/** (cache, flags, ...) */
	*#alloc(args: GuestArguments): Kernel<bigint> {
		const at = args.pointer(0);
		const cache = this.caches.get(at);
		// A cache that is not there: as a kernel that reads its struct.
		if (cache === undefined) return this.#memory.u64(at) && 0n;
		const zero = (args.u32(1) & __GFP_ZERO) !== 0;
		const object = this.#slab.kmalloc("kmem_cache_alloc", cache.size, zero, args.caller);
		if (object === 0) return 0n;
		this.objects.set(object, at);
		if (cache.ctor !== 0) yield* this.#calls.call(cache.ctor, toU64(object));
		return toU64(object);
	}

	/** A cache with objects stays. */
	#destroy(args: GuestArguments): undefined {
		const at = args.pointer(0);
		const cache = this.caches.get(at);
		if (cache === undefined) return undefined;
		const { name } = cache;
		if ([...this.objects.values()].includes(at)) {
			const dmesg = this.#dmesg;
			dmesg.print(KERN.ERR, `BUG ${name} (Not tainted): Objects remaining in ${name} on __kmem_cache_shutdown()`);
			const caller = this.#symbols.sprint_symbol(args.caller, false);
			dmesg.WARN_ON(true, `kmem_cache_destroy ${name}: Slab cache still has objects when called from ${caller}`);
			return undefined;
		}
		this.caches.delete(at);
		this.#slab.kfree(at);
		return undefined;
	}

	/** `kfree`: of an object, with the messages for one that is freed already. */
	functions(kfree: (args: GuestArguments) => undefined): HostFunctions {
		const alloc = (args: GuestArguments) => this.#alloc(args);
		return {
			plain: {
				__kmem_cache_create_args: (args) => this.#create(args),
				kmem_cache_destroy: (args) => this.#destroy(args),
				kmem_cache_free: (args) => kfree(args.pick([1])),
				kmem_cache_size: (args) => this.caches.get(args.pointer(0))?.size ?? 0,
			},
			sleeping: {
				kmem_cache_alloc_noprof: alloc,
				// (cache, flags, node)
				kmem_cache_alloc_node_noprof: alloc,
				// (cache, lru, flags)
				kmem_cache_alloc_lru_noprof: (args) => this.#alloc(args.pick([0, 2])),
			},
		};
	}
}
