import { type Kaddr, toU64 } from "../../memory/index.js";
import type { GuestArguments, GuestMemory, HostFunctions } from "../guest/index.js";
import { type Kernel, wait } from "../lib/index.js";
import type { Sched } from "../sched/index.js";

/** `done` of a completion after complete_all(): never used up. */
const UINT_MAX = 0xffffffff;

const NSEC_PER_SEC = 1_000_000_000n;

/** kernel/time/time.c, rounded up. */
export function msecs_to_jiffies(milliseconds: number, HZ: number): number {
	return Math.ceil((milliseconds * HZ) / 1000);
}

/** Mutexes, completions and sleeping. All of their state is in the guest's own structs. */
export function lockFunctions(memory: GuestMemory, sched: Sched, HZ: number): HostFunctions {
	// Both first fields: mutex.owner, completion.done.
	const owner = (lock: Kaddr) => memory.u64(lock);
	const done = (x: Kaddr) => memory.u32(x);
	// The module that it is in has gone: the task finds that out by itself.
	const gone = (at: Kaddr) => memory.permissions(at) === 0;
	// A value that identifies the task and is not 0.
	const take = (lock: Kaddr) => memory.setU64(lock, toU64(sched.current.pid + 1));
	function* lockMutex(lock: Kaddr): Kernel<void> {
		// Each waiting task checks again, because another task may have been first.
		while (owner(lock) !== 0n) yield wait("mutex_lock", () => gone(lock) || owner(lock) === 0n);
		take(lock);
	}
	/** False if jiffy `end` comes first. */
	function* complete(x: Kaddr, label: string, end = Number.POSITIVE_INFINITY): Kernel<boolean> {
		const over = () => sched.jiffies >= end;
		while (done(x) === 0 && !over()) yield wait(label, () => gone(x) || done(x) !== 0 || over());
		if (done(x) === 0) return false;
		if (done(x) !== UINT_MAX) memory.setU32(x, done(x) - 1);
		return true;
	}
	function* sleepFor(milliseconds: number, label: string): Kernel<void> {
		const end = sched.jiffies + msecs_to_jiffies(milliseconds, HZ) + 1;
		yield { ...wait(label, () => sched.jiffies >= end), timed: true };
	}
	// There is no time shorter than a jiffy.
	const now = () => (BigInt(sched.jiffies) * NSEC_PER_SEC) / BigInt(HZ);
	/** (ts): seconds, nanoseconds. */
	const timespec = (args: GuestArguments) => {
		memory.setU64(args.pointer(0), now() / NSEC_PER_SEC);
		memory.setU64((args.pointer(0) + 8) | 0, now() % NSEC_PER_SEC);
		return undefined;
	};
	return {
		plain: {
			// As on a machine without a clock of its own: the time of day is that since the start, from 1970 on.
			ktime_get_real_seconds: () => now() / NSEC_PER_SEC,
			ktime_get_real_ts64: timespec,
			ktime_get_ts64: timespec,
			mutex_unlock(args) {
				memory.setU64(args.pointer(0), 0n);
				return undefined;
			},
			complete(args) {
				const x = args.pointer(0);
				if (done(x) !== UINT_MAX) memory.setU32(x, done(x) + 1);
				return undefined;
			},
			complete_all(args) {
				memory.setU32(args.pointer(0), UINT_MAX);
				return undefined;
			},
			mutex_trylock(args) {
				const lock = args.pointer(0);
				if (owner(lock) !== 0n) return 0;
				take(lock);
				return 1;
			},
			__msecs_to_jiffies: (args) => msecs_to_jiffies(args.u32(0), HZ),
			ktime_get: now,
			ktime_get_seconds: () => Math.floor(sched.jiffies / HZ),
			__usecs_to_jiffies: (args) => Math.ceil((args.u32(0) * HZ) / 1_000_000),
			jiffies_to_msecs: (args) => Math.floor((Number(args.u64(0)) * 1000) / HZ),
		},
		sleeping: {
			*mutex_lock(args): Kernel<undefined> {
				yield* lockMutex(args.pointer(0));
				return undefined;
			},
			*mutex_lock_killable(args): Kernel<number> {
				yield* lockMutex(args.pointer(0));
				return 0;
			},
			*wait_for_completion(args): Kernel<undefined> {
				yield* complete(args.pointer(0), "wait_for_completion");
				return undefined;
			},
			*wait_for_completion_killable(args): Kernel<number> {
				yield* complete(args.pointer(0), "wait_for_completion_killable");
				return 0;
			},
			// (completion, timeout): the jiffies that are left, at least 1; 0 after the timeout.
			*wait_for_completion_timeout(args): Kernel<number> {
				const end = sched.jiffies + Number(args.u64(1));
				const completed = yield* complete(args.pointer(0), "wait_for_completion_timeout", end);
				return completed ? Math.max(end - sched.jiffies, 1) : 0;
			},
			*msleep(args): Kernel<undefined> {
				yield* sleepFor(args.u32(0), "msleep");
				return undefined;
			},
			*msleep_interruptible(args): Kernel<number> {
				yield* sleepFor(args.u32(0), "msleep_interruptible");
				return 0;
			},
			// (min, max, state) in microseconds: there is no time shorter than a jiffy.
			*usleep_range_state(args): Kernel<undefined> {
				yield* sleepFor(Math.ceil(Number(args.u64(0)) / 1000), "usleep_range_state");
				return undefined;
			},
		},
	};
}
