import { declareState } from "../../../base/index.js";
import { type Kaddr, toU64 } from "../../../memory/index.js";
import type { GuestArguments, GuestMemory, Heap, HostFunctions, Slab } from "../../guest/index.js";
import { type Kernel, wait } from "../../lib/index.js";
import { preemptible, type Sched, type task_struct, type Workqueue } from "../../sched/index.js";

/** Result of kmalloc(0): not NULL, and not accessible. */
const ZERO_SIZE_PTR = 16n;

/** mm/slub.c and kernel/rcu: kmalloc() in the forms that the kernel's headers make of it, and kfree_rcu(). */
export class CoreMemory {
	static readonly state = declareState("CoreMemory", { fields: [], unkeyed: ["readers"] });

	readonly #memory: GuestMemory;
	readonly #slab: Slab;
	readonly #heap: Heap;
	readonly #sched: Sched;
	readonly #workqueue: Workqueue;
	readonly #gfpZero: number;
	/** rcu_read_lock() depth of each task that is in such a section. */
	private readonly readers = new Map<task_struct, number>();

	constructor(parts: {
		readonly memory: GuestMemory;
		readonly slab: Slab;
		readonly heap: Heap;
		readonly sched: Sched;
		readonly workqueue: Workqueue;
		/** __GFP_ZERO */
		readonly gfpZero: number;
	}) {
		this.#memory = parts.memory;
		this.#slab = parts.slab;
		this.#heap = parts.heap;
		this.#sched = parts.sched;
		this.#workqueue = parts.workqueue;
		this.#gfpZero = parts.gfpZero;
		parts.sched.otherReaders.push(() => this.readers.size > 0);
	}

	#kmalloc(size: bigint, flags: number, { caller }: GuestArguments): bigint {
		if (size === 0n) return ZERO_SIZE_PTR;
		return toU64(this.#slab.kmalloc("kmalloc", Number(size), (flags & this.#gfpZero) !== 0, caller));
	}

	#kstrdup(args: GuestArguments): bigint {
		if (args.u64(0) === 0n) return 0n;
		const text = new TextEncoder().encode(`${args.string(0)}\0`);
		const copy = this.#slab.kmalloc("kstrdup", text.length, false, args.caller);
		if (copy !== 0) this.#memory.write(copy, text);
		return toU64(copy);
	}

	#count(step: 1 | -1): undefined {
		const { current } = this.#sched;
		const depth = (this.readers.get(current) ?? 0) + step;
		if (depth === 0) this.readers.delete(current);
		else this.readers.set(current, depth);
		return undefined;
	}

	/** kfree_rcu(): the object goes when no task that can have found it reads any more. */
	#kvfree_call_rcu(object: Kaddr): undefined {
		const sched = this.#sched;
		const heap = this.#heap;
		const readers = [...this.readers.keys()];
		const passed = () =>
			readers.every((task) => !this.readers.has(task)) && [...sched.all(), ...sched.exiting].every(preemptible);
		this.#workqueue.schedule_work({
			name: "kfree_rcu_work",
			*func(): Kernel<void> {
				yield { ...wait("kfree_rcu_work", passed), aside: true };
				heap.kfree(object);
			},
		});
		return undefined;
	}

	functions(): HostFunctions {
		return {
			plain: {
				__kmalloc_noprof: (args) => this.#kmalloc(args.u64(0), args.u32(1), args),
				// The cache says only the size.
				__kmalloc_cache_noprof: (args) => this.#kmalloc(args.u64(2), args.u32(1), args),
				kstrdup: (args) => this.#kstrdup(args),
				__rcu_read_lock: () => this.#count(1),
				__rcu_read_unlock: () => this.#count(-1),
				kvfree_call_rcu: (args) => this.#kvfree_call_rcu(args.pointer(1)),
			},
			sleeping: {},
		};
	}
}
