import type { Sched, task_struct } from "../../linux/sched/index.js";
import type { GuestContext } from "./decisive.js";
import type { Origins } from "./task-flow.js";
import type { TaskState } from "./task-state.js";

/** One column of a state: a task of this name, which may or may not exist. */
export interface Slot {
	/** The task, if it is on the task list. */
	task: task_struct | undefined;
	/** The state whose fields the task has now. Undefined after a restore, until a state is loaded. */
	state: TaskState | undefined;
	/** The registers and the stack that the task has now. */
	context: GuestContext | undefined;
	/** Those with which it makes its next move, if it does not have them yet and they are not the first of its state. */
	wanted: GuestContext | undefined;
	/** Of these. */
	origins: Origins | undefined;
}

export const EMPTY: Slot = {
	task: undefined,
	state: undefined,
	context: undefined,
	wanted: undefined,
	origins: undefined,
};

/** The tasks of a machine: those on the task list come before those that exit and have left it. */
export function tasksByName(sched: Sched): Map<string, task_struct> {
	return new Map([...sched.exiting, ...sched.all()].map((task) => [task.comm, task]));
}

/** No task was created or removed, and all states say so. Asked behind each step, so that it makes no Map. */
export function haveSameTasks(slots: readonly Slot[], sched: Sched, slotOf: ReadonlyMap<string, number>): boolean {
	let count = 0;
	for (const tasks of [sched.exiting, sched.all()]) {
		for (const task of tasks) {
			if (slots[slotOf.get(task.comm) ?? -1]?.task !== task) return false;
			count++;
		}
	}
	for (const { task, state } of slots) {
		if ((task !== undefined) !== state?.alive) return false;
		if (task !== undefined) count--;
	}
	return count === 0;
}
