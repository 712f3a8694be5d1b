import type { GuestArguments, HostFunctions } from "../guest/index.js";
import type { Kernel } from "../lib/index.js";
import { type Sched, TASK_IDLE, TASK_INTERRUPTIBLE, TASK_RUNNING, TASK_UNINTERRUPTIBLE } from "../sched/index.js";

/** The functions of kernel/time that sleep for some jiffies, and the state in which they do; undefined: that of set_current_state(). */
export const SCHEDULE_TIMEOUT: ReadonlyMap<string, number | undefined> = new Map([
	["schedule_timeout", undefined],
	["schedule_timeout_interruptible", TASK_INTERRUPTIBLE],
	["schedule_timeout_uninterruptible", TASK_UNINTERRUPTIBLE],
	["schedule_timeout_idle", TASK_IDLE],
]);
/** MAX_SCHEDULE_TIMEOUT: no limit. */
const LONG_MAX = (1n << 63n) - 1n;

/** In jiffies, of an argument of type long. */
export function timeoutOf(argument: bigint): number {
	const timeout = BigInt.asIntN(64, argument);
	return timeout === LONG_MAX ? Number.POSITIVE_INFINITY : Math.max(Number(timeout), 0);
}

/** What schedule_timeout() returns. */
export function jiffiesLeft(expire: number, sched: Sched): bigint {
	return Number.isFinite(expire) ? BigInt(Math.max(expire - sched.jiffies, 0)) : LONG_MAX;
}

/** schedule() in code that TypeScript has called, for example a module's init. For other tasks, see machine/switch-points.ts. */
export function scheduleFunctions(sched: Sched): HostFunctions {
	/** Until a wake-up, which takes the state back. Without a state to sleep in, others run, and it goes on. */
	function* sleep(label: string, state: number, expire = Number.POSITIVE_INFINITY): Kernel<void> {
		const task = sched.current;
		if (state === TASK_RUNNING) {
			const { jiffies } = sched;
			task.sleep_state = undefined;
			yield { kind: "wait", label, preempted: true, timed: true, ready: () => sched.jiffies > jiffies };
			return;
		}
		task.sleep_state = state;
		const woken = () => task.sleep_state === TASK_RUNNING;
		// Not descheduled as a sleeper: that a wake-up has come is seen in the task's own state.
		if (!woken()) yield { kind: "wait", label, preempted: true, ready: () => woken() || sched.jiffies >= expire };
		task.sleep_state = undefined;
	}
	function* timeout(name: string, state: number | undefined, args: GuestArguments): Kernel<bigint> {
		const expire = sched.jiffies + timeoutOf(args.u64(0));
		yield* sleep(name, state ?? sched.current.sleep_state ?? TASK_RUNNING, expire);
		return jiffiesLeft(expire, sched);
	}
	const timeouts = [...SCHEDULE_TIMEOUT].map(([name, state]) => [
		name,
		(args: GuestArguments) => timeout(name, state, args),
	]);
	return {
		plain: {},
		sleeping: {
			...(Object.fromEntries(timeouts) as HostFunctions["sleeping"]),
			*schedule(): Kernel<undefined> {
				yield* sleep("schedule", sched.current.sleep_state ?? TASK_RUNNING);
				return undefined;
			},
		},
	};
}
