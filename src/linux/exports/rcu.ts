import { declareState } from "../../base/index.js";
import type { Kaddr } from "../../memory/index.js";
import { toU64 } from "../../memory/index.js";
import type { GuestCalls, GuestMemory, Heap, HostFunctions } from "../guest/index.js";
import { type Kernel, wait } from "../lib/index.js";
import { readersHavePassed, type Sched, type Workqueue } from "../sched/index.js";

/** Offset of `func` in struct rcu_head, behind the pointer to the next one. */
const RCU_HEAD_FUNC = 8;

/** RCU for modules: a reader is not preempted, so that a grace period ends when every task can be. */
export class GuestRcu {
	static readonly state = declareState("GuestRcu", { fields: ["callbacks"] });

	readonly #memory: GuestMemory;
	readonly #heap: Heap;
	readonly #calls: GuestCalls;
	readonly #sched: Sched;
	readonly #workqueue: Workqueue;
	/** Functions of call_rcu() that have not run. */
	private callbacks = 0;

	constructor(parts: {
		readonly memory: GuestMemory;
		readonly heap: Heap;
		readonly calls: GuestCalls;
		readonly sched: Sched;
		readonly workqueue: Workqueue;
	}) {
		this.#memory = parts.memory;
		this.#heap = parts.heap;
		this.#calls = parts.calls;
		this.#sched = parts.sched;
		this.#workqueue = parts.workqueue;
	}

	/** After a grace period, as a work of the kernel's. */
	#later(name: string, then: () => Kernel<void>): undefined {
		const sched = this.#sched;
		const passed = () => readersHavePassed(sched);
		this.callbacks++;
		const done = () => this.callbacks--;
		this.#workqueue.schedule_work({
			name,
			*func(): Kernel<void> {
				yield { ...wait(name, passed), aside: true };
				yield* then();
				done();
			},
		});
		return undefined;
	}

	*#call(head: Kaddr): Kernel<void> {
		const func = this.#memory.u64((head + RCU_HEAD_FUNC) | 0);
		yield* this.#calls.call(Number(BigInt.asIntN(32, func)), toU64(head));
	}

	functions(): HostFunctions {
		const sched = this.#sched;
		const memory = this.#memory;
		const heap = this.#heap;
		const count = (step: number) => () => {
			sched.current.preempt_count += step;
			return undefined;
		};
		const all = () => this.callbacks === 0;
		return {
			plain: {
				__rcu_read_lock: count(1),
				__rcu_read_unlock: count(-1),
				// (head, func)
				call_rcu: (args) => {
					const head = args.pointer(0);
					memory.setU64((head + RCU_HEAD_FUNC) | 0, args.u64(1));
					return this.#later("rcu_do_batch", () => this.#call(head));
				},
				// (head, object)
				kvfree_call_rcu: (args) => {
					const object = args.pointer(1);
					// biome-ignore lint/correctness/useYield: kernel code in one step
					return this.#later("kfree_rcu_work", function* () {
						heap.kfree(object);
					});
				},
			},
			sleeping: {
				*rcu_barrier(): Kernel<undefined> {
					yield wait("rcu_barrier", all);
					return undefined;
				},
			},
		};
	}
}
