import type { HostFunctions } from "../guest/index.js";
import { type Sched, TASK_NORMAL, TIF_NOTIFY_SIGNAL } from "../sched/index.js";
import type { GuestTasks } from "./tasks.js";

/**
 * Loops of guest code that wait: set_current_state() and wait queues (kernel/sched/wait.c). A task that waits on a queue knows it
 * itself, so that a queue needs no list.
 */
export function waitFunctions(sched: Sched, tasks: GuestTasks): HostFunctions {
	const wakeAll = (queue: number, states: number) => {
		let woken = 0;
		for (const task of [...sched.all(), ...sched.exiting]) {
			if (task.wait_queue === queue && queue !== 0 && sched.wake_up_state(task, states)) woken++;
		}
		return woken;
	};
	return {
		plain: {
			__set_current_state: (args) => {
				sched.current.sleep_state = args.u32(0);
				return undefined;
			},
			prepare_to_wait: (args) => {
				sched.current.wait_queue = args.pointer(0);
				sched.current.sleep_state = args.u32(2);
				return undefined;
			},
			finish_wait: () => {
				sched.current.wait_queue = 0;
				sched.current.sleep_state = undefined;
				return undefined;
			},
			__wake_up: (args) => {
				wakeAll(args.pointer(0), args.u32(1));
				return undefined;
			},
			wake_up_process: (args) => {
				const task = tasks.taskAt(args.pointer(0));
				return Number(task !== undefined && sched.wake_up_state(task, TASK_NORMAL));
			},
			signal_pending: (args) => {
				const task = tasks.taskAt(args.pointer(0));
				return Number(task !== undefined && (task.thread_flags & TIF_NOTIFY_SIGNAL) !== 0);
			},
		},
		sleeping: {},
	};
}
