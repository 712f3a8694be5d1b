import type { Kaddr } from "../../memory/index.js";
import type { GuestArguments, GuestMemory, HostFunctions } from "../guest/index.js";
import { type Kernel, wait } from "../lib/index.js";
import type { Sched } from "../sched/index.js";

/** The word of a lock that a writer holds; else it is the number of readers. Both kinds of lock begin with this word. */
const WRITER = 0xffff_ffff;
/** RFLAGS with interrupts on: there are no interrupts here. */
const FLAGS = 0x202;

/**
 * Locks with readers: rwlock_t (kernel/locking/spinlock.c), whose holder is not preempted, and rw_semaphore
 * (kernel/locking/rwsem.c). A task that waits sleeps.
 */
export function readLockFunctions(memory: GuestMemory, sched: Sched): HostFunctions {
	const word = (lock: Kaddr) => memory.u32(lock);
	const gone = (lock: Kaddr) => memory.permissions(lock) === 0;
	const isFree = (lock: Kaddr, writes: boolean) => (writes ? word(lock) === 0 : word(lock) !== WRITER);
	const set = (lock: Kaddr, writes: boolean) => memory.setU32(lock, writes ? WRITER : word(lock) + 1);
	const clear = (lock: Kaddr, writes: boolean) => memory.setU32(lock, writes ? 0 : word(lock) - 1);
	const tryTake = (lock: Kaddr, writes: boolean): boolean => {
		if (!isFree(lock, writes)) return false;
		set(lock, writes);
		return true;
	};
	const takes = (label: string, writes: boolean, spins: boolean, result: number | undefined) =>
		function* take(args: GuestArguments): Kernel<number | undefined> {
			const lock = args.pointer(0);
			while (!tryTake(lock, writes)) yield wait(label, () => gone(lock) || isFree(lock, writes));
			if (spins) sched.current.preempt_count++;
			return result;
		};
	const releases = (writes: boolean, spins: boolean) => (args: GuestArguments) => {
		clear(args.pointer(0), writes);
		if (spins) sched.current.preempt_count--;
		return undefined;
	};
	const plain: Record<string, HostFunctions["plain"][string]> = {
		// (sem, name, key)
		__init_rwsem: (args) => {
			memory.setU64(args.pointer(0), 0n);
			return undefined;
		},
		downgrade_write: (args) => {
			memory.setU32(args.pointer(0), 1);
			return undefined;
		},
	};
	const sleeping: Record<string, HostFunctions["sleeping"][string]> = {};
	for (const [kind, writes] of [
		["read", false],
		["write", true],
	] as const) {
		plain[`up_${kind}`] = releases(writes, false);
		plain[`down_${kind}_trylock`] = (args) => Number(tryTake(args.pointer(0), writes));
		sleeping[`down_${kind}`] = takes(`down_${kind}`, writes, false, undefined);
		sleeping[`down_${kind}_killable`] = takes(`down_${kind}`, writes, false, 0);
		for (const variant of ["", "_irq", "_bh"]) {
			plain[`_raw_${kind}_unlock${variant}`] = releases(writes, true);
			sleeping[`_raw_${kind}_lock${variant}`] = takes(`_raw_${kind}_lock`, writes, true, undefined);
		}
		plain[`_raw_${kind}_unlock_irqrestore`] = releases(writes, true);
		sleeping[`_raw_${kind}_lock_irqsave`] = takes(`_raw_${kind}_lock`, writes, true, FLAGS);
	}
	return { plain, sleeping };
}
