import { TASK_DEAD, TIF_NOTIFY_SIGNAL, TIF_PATCH_PENDING, type task_struct } from "../../linux/sched/index.js";
import type { Machine } from "../../machine/index.js";
import type { TaskMove } from "./task-move.js";

/** exit_to_user_mode_loop() and the idle loop: klp_update_patch_state() clears the flag first. */
export function leaveKernel({ klp }: Machine, task: task_struct): TaskMove {
	task.rcu_tasks_holdout = false;
	if (!task.pending) return leftKernel(task);
	const code = klp.klp_update_patch_state(task);
	return { label: String(code.next().value) };
}

/**
 * The rest of klp_update_patch_state(), after it has cleared the flag. The generator of the first half does not exist
 * any more, so a new one is brought to the same place: from there on, it depends only on the task.
 */
export function finishSwitch({ klp }: Machine, task: task_struct): TaskMove {
	task.preempt_count--;
	task.thread_flags |= TIF_PATCH_PENDING;
	const code = klp.klp_update_patch_state(task);
	code.next();
	const { value } = code.next();
	leftKernel(task);
	return { label: String(value) };
}

/** It is in user mode, or at the beginning of the idle loop. */
export function leftKernel(task: task_struct): TaskMove {
	task.thread_flags &= ~TIF_NOTIFY_SIGNAL;
	if (task.idle) return { label: "goes round in the idle loop" };
	task.mode = "user";
	return { label: "returns to user mode" };
}

/** The end of do_exit(). The task stays in `exiting`, where it is the kernel's state: a move of a task changes that task only. */
export function do_task_dead(task: task_struct): TaskMove {
	task.rcu_tasks_holdout = false;
	task.__state = TASK_DEAD;
	task.mode = "user";
	return { label: "is dead (do_task_dead)" };
}
