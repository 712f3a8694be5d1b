import { type Kernel, place, wait } from "../lib/index.js";
import type { Sched } from "./sched.js";
import { preemptible, TASK_RUNNING, type task_struct } from "./task.js";

/** No task is in code that runs with preemption disabled, or in another section of a reader. */
export function readersHavePassed(sched: Sched): boolean {
	return [...sched.all(), ...sched.exiting].every(preemptible) && !sched.otherReaders.some((isReading) => isReading());
}

/**
 * synchronize_rcu(), schedule_on_each_cpu(): waits until every CPU has left code that runs with preemption disabled.
 */
export function* synchronize_rcu(sched: Sched, what: string): Kernel<void> {
	// Such code is in handlers and in klp_update_patch_state().
	yield wait(what, () => readersHavePassed(sched));
}

/**
 * The tasks of a list in pid order, which others may change meanwhile: a task that comes has its turn, one that goes has none. Nothing but
 * the task that has had the last turn decides who is next.
 */
function* eachOf(list: readonly task_struct[]): Generator<task_struct, void, void> {
	let last = 0;
	for (let index = 0; ; index++) {
		// Some before it may have gone.
		while (index > 0 && (list[index - 1]?.pid ?? last + 1) > last) index--;
		const task = list[index];
		if (task === undefined) return;
		last = task.pid;
		yield task;
	}
}

/**
 * synchronize_rcu_tasks(): waits until every task that is in the kernel, running or preempted (perhaps on a
 * trampoline), has slept or left the kernel once.
 */
export function* synchronize_rcu_tasks(sched: Sched, what: string): Kernel<void> {
	const outside = (task: task_struct) => task.__state !== TASK_RUNNING || task.held || task.mode !== "kernel";
	// The kernel holds rcu_read_lock() only: tasks come and go.
	for (const task of eachOf(sched.tasks)) {
		yield place(what, task.comm);
		task.rcu_tasks_holdout = !outside(task);
	}
	// exit_tasks_rcu_start(): the list of tasks no longer has them.
	for (const task of eachOf(sched.exit_tasks_rcu())) {
		yield place(what, task.comm);
		task.rcu_tasks_holdout = !outside(task);
	}
	yield* synchronize_rcu(sched, what);
	const passed = (task: task_struct) => !task.rcu_tasks_holdout || outside(task);
	yield wait(what, () => sched.tasks.every(passed) && sched.exiting.every(passed));
}
