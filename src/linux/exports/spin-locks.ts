import type { GuestArguments, GuestMemory, HostFunctions } from "../guest/index.js";
import { type Kernel, wait } from "../lib/index.js";
import type { Sched } from "../sched/index.js";

/** RFLAGS with interrupts on, as _raw_spin_lock_irqsave() returns it: there are no interrupts here. */
const FLAGS = 0x202;

/** The functions that take a spin lock, and wait for it. */
export const SPIN_LOCK: readonly string[] = ["", "_irq", "_bh", "_irqsave"].map(
	(variant) => `_raw_spin_lock${variant}`,
);

/**
 * kernel/locking/spinlock.c: spin locks. A queued spin lock is one word; here it is 1 while it is held. A task that waits for one does not spin, but sleeps: nobody could let it go otherwise, on one CPU.
 */
export function spinLockFunctions(memory: GuestMemory, sched: Sched): HostFunctions {
	const held = (lock: number) => memory.u32(lock) !== 0;
	function* take(args: GuestArguments): Kernel<number> {
		const lock = args.pointer(0);
		while (held(lock)) yield wait("_raw_spin_lock", () => memory.permissions(lock) === 0 || !held(lock));
		memory.setU32(lock, 1);
		sched.current.preempt_count++;
		return FLAGS;
	}
	const release = (args: GuestArguments): undefined => {
		memory.setU32(args.pointer(0), 0);
		sched.current.preempt_count--;
		return undefined;
	};
	const variants = ["", "_irq", "_bh"];
	return {
		plain: {
			...Object.fromEntries(variants.map((variant) => [`_raw_spin_unlock${variant}`, release])),
			_raw_spin_unlock_irqrestore: release,
			// kernel/sched/core.c: preempt_disable() and preempt_enable() of a kernel with CONFIG_DEBUG_PREEMPT.
			preempt_count_add: (args) => {
				sched.current.preempt_count += args.u32(0);
				return undefined;
			},
			preempt_count_sub: (args) => {
				sched.current.preempt_count -= args.u32(0);
				return undefined;
			},
			_raw_spin_trylock: (args) => {
				const lock = args.pointer(0);
				if (held(lock)) return 0;
				memory.setU32(lock, 1);
				sched.current.preempt_count++;
				return 1;
			},
		},
		sleeping: Object.fromEntries(SPIN_LOCK.map((name) => [name, take])),
	};
}
