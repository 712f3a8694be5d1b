import { declareState } from "../../base/index.js";
import { type Kaddr, toKaddr, toU64 } from "../../memory/index.js";
import type { GuestCalls, GuestMemory, Heap, HostFunctions } from "../guest/index.js";
import { type Kernel, wait } from "../lib/index.js";
import { TASK_IDLE, type task_struct } from "../sched/index.js";
import { addKthread, type KthreadParts } from "./add-kthread.js";

/** struct work_struct: its first word has the flag WORK_STRUCT_PENDING, the function is behind the list head. */
const WORK_STRUCT_PENDING = 1n;
const WORK_FUNC = 24;

/**
 * schedule_work() and its relatives for work_structs of guest code: each runs on the stack of a kworker, and may sleep there.
 * A kworker runs one work after the other; if all kworkers are busy, a new one is created.
 */
export class GuestWorkqueue {
	static readonly state = declareState("GuestWorkqueue", { fields: ["pending", "delayed", "running", "canceling"] });

	readonly #memory: GuestMemory;
	readonly #heap: Heap;
	readonly #parts: KthreadParts;
	private readonly pending: Kaddr[] = [];
	private readonly delayed: { readonly work: Kaddr; readonly at: number }[] = [];
	/** The work that each kworker is running. */
	private readonly running = new Map<task_struct, Kaddr | undefined>();
	/** Set once, see {@link serve}. */
	private servers: readonly task_struct[] = [];
	/** Works that are being cancelled: they cannot be queued, not even by their own function. */
	private readonly canceling = new Set<Kaddr>();

	constructor(memory: GuestMemory, heap: Heap, parts: KthreadParts) {
		this.#memory = memory;
		this.#heap = heap;
		this.#parts = parts;
	}

	#createKworker(index: number): task_struct {
		const task: task_struct = addKthread(this.#parts, `kworker/0:${index + 2}`, TASK_IDLE, {
			calls: [],
			next: () => this.next(task),
			// It sleeps, unless a work has just been queued.
			afterRound: () => (this.pending.length > 0 ? "again" : TASK_IDLE),
		});
		return task;
	}

	/** From now on these host tasks run the works, each with {@link run}: the explorer. No other kworkers are created. */
	serve(kworkers: readonly task_struct[]): void {
		this.servers = kworkers;
		for (const kworker of kworkers) this.running.set(kworker, undefined);
	}

	/** Number of works that wait for a kworker or for their time. */
	get length(): number {
		return this.pending.length + this.delayed.length;
	}

	/** The function of the next work; undefined: there is none. How long a delay takes is not known. */
	get nextFunc(): Kaddr | undefined {
		const work = this.pending[0] ?? this.delayed[0]?.work;
		if (work === undefined || this.#memory.permissions(work) === 0) return work;
		return this.#memory.kaddr((work + WORK_FUNC) | 0);
	}

	/** Runs the next work, as kernel code of `kworker`. There must be one. */
	*run(kworker: task_struct, calls: GuestCalls): Kernel<void> {
		if (this.pending.length === 0) this.pending.push(this.delayed.shift()!.work);
		const { func, argument } = this.next(kworker)!;
		// Others see that it runs before its function has done anything.
		yield "process_one_work";
		yield* calls.call(toKaddr(func), argument);
		this.running.set(kworker, undefined);
	}

	/** Called when a kworker has finished its work. Returns the next work, or nothing. */
	next(kworker: task_struct): { func: bigint; argument: bigint } | undefined {
		const memory = this.#memory;
		const work = this.pending.shift();
		this.running.set(kworker, work);
		if (work === undefined) return undefined;
		// The module was unloaded with this work still queued: the kworker jumps to the unmapped function and oopses.
		if (memory.permissions(work) === 0) return { func: toU64(work), argument: toU64(work) };
		memory.setU64(work, memory.u64(work) & ~WORK_STRUCT_PENDING);
		return { func: memory.u64((work + WORK_FUNC) | 0), argument: toU64(work) };
	}

	/** A new jiffy: queues what is due. */
	tick(): void {
		for (let i = 0; i < this.delayed.length; ) {
			const { work, at } = this.delayed[i]!;
			if (at > this.#parts.sched.jiffies) i++;
			else {
				this.delayed.splice(i, 1);
				this.#queue(work);
			}
		}
	}

	#queue(work: Kaddr): void {
		this.pending.push(work);
		if (this.servers.length > 0) return;
		const busy = [...this.running.values()].filter((running) => running !== undefined).length;
		if (busy + this.pending.length > this.running.size) {
			this.running.set(this.#createKworker(this.running.size), undefined);
		}
		for (const [kworker, running] of this.running)
			if (running === undefined) this.#parts.sched.wake_up_state(kworker, -1);
	}

	/** test_and_set_bit(WORK_STRUCT_PENDING_BIT): false if the work is queued already. */
	#claim(work: Kaddr): boolean {
		const memory = this.#memory;
		const data = memory.u64(work);
		if (data & WORK_STRUCT_PENDING || this.canceling.has(work)) return false;
		memory.setU64(work, data | WORK_STRUCT_PENDING);
		return true;
	}

	#schedule(work: Kaddr, delay: number): boolean {
		if (!this.#claim(work)) return false;
		if (delay === 0) this.#queue(work);
		else this.delayed.push({ work, at: this.#parts.sched.jiffies + delay });
		return true;
	}

	#isRunning(work: Kaddr): boolean {
		return [...this.running.values()].includes(work);
	}

	*#flush(work: Kaddr): Kernel<boolean> {
		const idle = () => !this.pending.includes(work) && !this.#isRunning(work);
		const waited = !idle();
		yield { ...wait("flush_work", idle), keeps: waited };
		return waited;
	}

	/** The work of a delayed_work is queued at once. */
	*#flushDelayed(dwork: Kaddr): Kernel<boolean> {
		const at = this.delayed.findIndex(({ work }) => work === dwork);
		if (at >= 0) {
			this.delayed.splice(at, 1);
			this.#queue(dwork);
		}
		return yield* this.#flush(dwork);
	}

	/** Removes a work from the queue; true if it was there. */
	#remove(work: Kaddr): boolean {
		const memory = this.#memory;
		const at = this.pending.indexOf(work);
		const delayed = this.delayed.findIndex((entry) => entry.work === work);
		if (at >= 0) this.pending.splice(at, 1);
		if (delayed >= 0) this.delayed.splice(delayed, 1);
		const waiting = at >= 0 || delayed >= 0;
		if (waiting) memory.setU64(work, memory.u64(work) & ~WORK_STRUCT_PENDING);
		return waiting;
	}

	/** The same, and waits until no kworker runs it. */
	*#cancel(work: Kaddr): Kernel<boolean> {
		this.canceling.add(work);
		const waiting = this.#remove(work);
		yield { ...wait("cancel_work_sync", () => !this.#isRunning(work)), keeps: waiting };
		this.canceling.delete(work);
		return waiting;
	}

	/** mod_delayed_work(): true if it was queued. */
	#modify(work: Kaddr, delay: number): boolean {
		const was = this.#remove(work);
		this.#schedule(work, delay);
		return was;
	}

	/** All queues are one here: whoever flushes one waits for the works of all, but not for the one in which it does. */
	*#flushAll(): Kernel<undefined> {
		const { current } = this.#parts.sched;
		const idle = () => [...this.running].every(([kworker, work]) => work === undefined || kworker === current);
		yield wait("__flush_workqueue", () => this.pending.length === 0 && idle());
		return undefined;
	}

	functions(): HostFunctions {
		const heap = this.#heap;
		const flushAll = () => this.#flushAll();
		const flush = (work: Kaddr) => this.#flush(work);
		const flushDelayed = (dwork: Kaddr) => this.#flushDelayed(dwork);
		const cancel = (work: Kaddr) => this.#cancel(work);
		return {
			plain: {
				schedule_work: (args) => Number(this.#schedule(args.pointer(0), 0)),
				// A delayed_work begins with its work_struct.
				schedule_delayed_work: (args) => Number(this.#schedule(args.pointer(0), Number(args.u64(1)))),
				// (cpu, wq, work), (cpu, wq, dwork, delay): all queues are one.
				queue_work_on: (args) => Number(this.#schedule(args.pointer(2), 0)),
				queue_delayed_work_on: (args) => Number(this.#schedule(args.pointer(2), Number(args.u64(3)))),
				mod_delayed_work_on: (args) => Number(this.#modify(args.pointer(2), Number(args.u64(3)))),
				// (format, flags, max_active, ...): a pointer that is passed on.
				alloc_workqueue: () => toU64(heap.kmalloc(8, true)),
				cancel_work: (args) => Number(this.#remove(args.pointer(0))),
				cancel_delayed_work: (args) => Number(this.#remove(args.pointer(0))),
			},
			sleeping: {
				__flush_workqueue: flushAll,
				*destroy_workqueue(args): Kernel<undefined> {
					yield* flushAll();
					heap.kfree(args.pointer(0));
					return undefined;
				},
				*flush_work(args): Kernel<number> {
					return Number(yield* flush(args.pointer(0)));
				},
				*flush_delayed_work(args): Kernel<number> {
					return Number(yield* flushDelayed(args.pointer(0)));
				},
				*cancel_work_sync(args): Kernel<number> {
					return Number(yield* cancel(args.pointer(0)));
				},
				*cancel_delayed_work_sync(args): Kernel<number> {
					return Number(yield* cancel(args.pointer(0)));
				},
			},
		};
	}
}
