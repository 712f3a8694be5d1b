import type { Kaddr } from "../../memory/index.js";
import type { GuestArguments, GuestMemory, HostFunctions } from "../guest/index.js";
import { ETIME, type Kernel, wait } from "../lib/index.js";
import type { Sched } from "../sched/index.js";
import { timeoutOf } from "./schedule.js";

/** kernel/locking/semaphore.c. Behind the lock of a struct semaphore is its count. */
export function semaphoreFunctions(memory: GuestMemory, sched: Sched): HostFunctions {
	const at = (sem: Kaddr) => (sem + 4) | 0;
	const count = (sem: Kaddr) => memory.u32(at(sem));
	const add = (sem: Kaddr, step: 1 | -1) => memory.setU32(at(sem), count(sem) + step);
	const gone = (sem: Kaddr) => memory.permissions(sem) === 0;
	/** -ETIME if jiffy `end` comes first. */
	function* take(label: string, sem: Kaddr, end = Number.POSITIVE_INFINITY): Kernel<number> {
		const over = () => sched.jiffies >= end;
		// Each waiting task checks again, because another task may have been first.
		while (count(sem) === 0 && !over()) yield wait(label, () => gone(sem) || count(sem) !== 0 || over());
		if (count(sem) === 0) return -ETIME;
		add(sem, -1);
		return 0;
	}
	const down = (label: string) => (args: GuestArguments) => take(label, args.pointer(0));
	return {
		plain: {
			up: (args) => {
				add(args.pointer(0), 1);
				return undefined;
			},
			// 0 if it is taken, unlike mutex_trylock().
			down_trylock: (args) => {
				const sem = args.pointer(0);
				if (count(sem) === 0) return 1;
				add(sem, -1);
				return 0;
			},
		},
		sleeping: {
			down: down("down"),
			// Nobody sends signals but livepatch, whose signal ends no such wait.
			down_interruptible: down("down_interruptible"),
			down_killable: down("down_killable"),
			// (semaphore, jiffies)
			down_timeout: (args) => take("down_timeout", args.pointer(0), sched.jiffies + timeoutOf(args.u64(1))),
		},
	};
}
