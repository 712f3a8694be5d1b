import { type Kaddr, toU64 } from "../../memory/index.js";
import type { GuestMemory, HostFunctions } from "../guest/index.js";
import { type Kernel, wait } from "../lib/index.js";
import type { Sched } from "../sched/index.js";

/** `done` of a completion after complete_all(): never used up. */
const UINT_MAX = 0xffffffff;

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
	return {
		plain: {
			mutex_unlock(args) {
				memory.setU64(args.pointer(0), 0n);
				return undefined;
			},
			complete(args) {
				const x = args.pointer(0);
				if (done(x) !== UINT_MAX) memory.setU32(x, done(x) + 1);
				return undefined;
			},
			__msecs_to_jiffies: (args) => msecs_to_jiffies(args.u32(0), HZ),
		},
		sleeping: {
			*mutex_lock(args): Kernel<undefined> {
				const lock = args.pointer(0);
				// Each waiting task checks again, because another task may have been first.
				while (owner(lock) !== 0n) yield wait("mutex_lock", () => gone(lock) || owner(lock) === 0n);
				// A value that identifies the task and is not 0.
				memory.setU64(lock, toU64(sched.current.pid + 1));
				return undefined;
			},
			*wait_for_completion(args): Kernel<undefined> {
				const x = args.pointer(0);
				while (done(x) === 0) yield wait("wait_for_completion", () => gone(x) || done(x) !== 0);
				if (done(x) !== UINT_MAX) memory.setU32(x, done(x) - 1);
				return undefined;
			},
			*msleep(args): Kernel<undefined> {
				const end = sched.jiffies + msecs_to_jiffies(args.u32(0), HZ) + 1;
				yield wait("msleep", () => sched.jiffies >= end);
				return undefined;
			},
		},
	};
}
