import type { Livepatch } from "../klp/index.js";
import { type HostTasks, PF_KTHREAD, type Sched, type TaskProgram, type task_struct } from "../sched/index.js";

/** Where the kthreads of guest code come from. */
export interface KthreadParts {
	readonly sched: Sched;
	readonly klp: Livepatch;
	readonly hostTasks: HostTasks;
}

/** A new kthread, asleep in `__state`. It copies the transition state of the existing kworker, as a child of kthreadd does. */
export function addKthread(
	{ sched, klp, hostTasks }: KthreadParts,
	comm: string,
	__state: number,
	program: TaskProgram,
): task_struct {
	const task = sched.add(comm, { flags: PF_KTHREAD, mode: "kernel", program });
	task.__state = __state;
	klp.klp_copy_process(hostTasks.kworker, task);
	return task;
}
