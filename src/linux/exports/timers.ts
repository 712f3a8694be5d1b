import { declareState } from "../../base/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { GuestMemory, HostFunctions } from "../guest/index.js";
import { type Kernel, wait } from "../lib/index.js";
import { TASK_INTERRUPTIBLE, type task_struct } from "../sched/index.js";
import { addKthread, type KthreadParts } from "./add-kthread.js";

/** struct timer_list (include/linux/timer_types.h): the list entry is first; that a timer is pending is its second word. */
const TIMER = { pprev: 8, expires: 16, function: 24, flags: 32 } as const;

/**
 * Timers of modules (kernel/time/timer.c). Their functions run one after the other in ksoftirqd, which is where softirqs run under
 * load: a function of a timer that is being patched is on the stack of a kthread, and holds up the transition until it returns.
 */
export class GuestTimers {
	static readonly state = declareState("GuestTimers", { fields: ["pending", "due", "running", "ksoftirqd"] });

	readonly #memory: GuestMemory;
	readonly #parts: KthreadParts;
	/** The jiffy of each timer that is pending. */
	private readonly pending = new Map<Kaddr, number>();
	private readonly due: Kaddr[] = [];
	/** The timer whose function runs. */
	private running: Kaddr | undefined = undefined;
	/** Made when the first timer is due. */
	private ksoftirqd: task_struct | undefined = undefined;

	constructor(memory: GuestMemory, parts: KthreadParts) {
		this.#memory = memory;
		this.#parts = parts;
	}

	/** A new jiffy. */
	tick(): void {
		for (const [timer, jiffy] of this.pending) {
			if (jiffy > this.#parts.sched.jiffies) continue;
			this.#detach(timer);
			this.due.push(timer);
		}
		if (this.due.length === 0) return;
		this.ksoftirqd ??= this.#createKsoftirqd();
		this.#parts.sched.wake_up_state(this.ksoftirqd, TASK_INTERRUPTIBLE);
	}

	#createKsoftirqd(): task_struct {
		return addKthread(this.#parts, "ksoftirqd/0", TASK_INTERRUPTIBLE, {
			calls: [],
			next: () => this.#next(),
			afterRound: () => (this.due.length > 0 ? "again" : TASK_INTERRUPTIBLE),
		});
	}

	/** expire_timers(): the next function and its timer. */
	#next(): { func: bigint; argument: bigint } | undefined {
		this.running = this.due.shift();
		if (this.running === undefined) return undefined;
		// The module was unloaded with its timer still pending: the task jumps to the unmapped function and oopses.
		const gone = this.#memory.permissions(this.running) === 0;
		const func = gone ? toU64(this.running) : this.#memory.u64((this.running + TIMER.function) | 0);
		return { func, argument: toU64(this.running) };
	}

	#detach(timer: Kaddr): boolean {
		if (!this.pending.delete(timer)) return false;
		if (this.#memory.permissions(timer) !== 0) this.#memory.setU64((timer + TIMER.pprev) | 0, 0n);
		return true;
	}

	/** True if it was pending. A timer without a function is one that was shut down: it does nothing. */
	#mod(timer: Kaddr, expires: bigint): boolean {
		const memory = this.#memory;
		const was = this.#detach(timer);
		if (memory.u64((timer + TIMER.function) | 0) === 0n) return was;
		memory.setU64((timer + TIMER.expires) | 0, expires);
		memory.setU64((timer + TIMER.pprev) | 0, toU64(timer));
		// A jiffy that is over is the next one.
		this.pending.set(timer, Math.max(Number(BigInt.asIntN(64, expires)), this.#parts.sched.jiffies + 1));
		return was;
	}

	#delete(timer: Kaddr): boolean {
		const at = this.due.indexOf(timer);
		if (at >= 0) this.due.splice(at, 1);
		return this.#detach(timer) || at >= 0;
	}

	*#deleteSync(timer: Kaddr, shutdown = false): Kernel<number> {
		const was = this.#delete(timer);
		if (shutdown) this.#memory.setU64((timer + TIMER.function) | 0, 0n);
		yield wait("timer_delete_sync", () => this.running !== timer);
		return Number(this.#delete(timer) || was);
	}

	functions(): HostFunctions {
		const memory = this.#memory;
		const deleteSync = (timer: Kaddr, shutdown: boolean) => this.#deleteSync(timer, shutdown);
		return {
			plain: {
				// (timer, function, flags, name, key)
				init_timer_key: (args) => {
					const timer = args.pointer(0);
					memory.setU64((timer + TIMER.pprev) | 0, 0n);
					memory.setU64((timer + TIMER.function) | 0, args.u64(1));
					memory.setU32((timer + TIMER.flags) | 0, args.u32(2));
					return undefined;
				},
				mod_timer: (args) => Number(this.#mod(args.pointer(0), args.u64(1))),
				add_timer: (args) => {
					this.#mod(args.pointer(0), memory.u64((args.pointer(0) + TIMER.expires) | 0));
					return undefined;
				},
				timer_delete: (args) => Number(this.#delete(args.pointer(0))),
			},
			sleeping: {
				*timer_delete_sync(args): Kernel<number> {
					return yield* deleteSync(args.pointer(0), false);
				},
				*timer_shutdown_sync(args): Kernel<number> {
					return yield* deleteSync(args.pointer(0), true);
				},
			},
		};
	}
}
