import type { Kallsyms } from "../linux/lib/index.js";
import { type Sched, TASK_RUNNING, type task_struct, type Unwinder } from "../linux/sched/index.js";

/** The parts of a machine that tell where its tasks are. */
export interface PlaceParts {
	readonly unwinder: Unwinder;
	readonly kallsyms: Kallsyms;
}

/** Largest number of tasks that a message names. */
const MOST = 8;

/** Compiled functions only: the assembly below them does not show the place of a task. */
export function namesOf({ kallsyms }: PlaceParts, entries: readonly number[]): string[] {
	const { images } = kallsyms;
	return entries.flatMap((entry, index) => {
		// A return address may lie behind the last instruction of the function that called.
		const address = index === 0 ? entry : (entry - 1) | 0;
		const hit = images.map((image) => image.symbolAt(address)).find((found) => found !== undefined);
		return hit === undefined ? [] : [hit.symbol.name];
	});
}

/** Place of a task, as the end of a sentence about it. */
export function placeOf(parts: PlaceParts, task: task_struct): string {
	if (task.mode === "host") return "is in kernel code of its own";
	const neverRan = task.stack === undefined;
	if (task.idle && neverRan) return "is idle, and has not gone through its loop yet";
	if (task.mode === "user" || neverRan) {
		if (task.__state !== TASK_RUNNING) return "sleeps outside of guest code";
		return task.mode === "user" ? "is in user mode" : "has not run yet";
	}
	const trace = parts.unwinder.walk(task);
	const [inner] = namesOf(parts, trace.entries);
	if (task.idle && inner === undefined)
		return task.on_cpu >= 0 ? "is idle, in its loop" : "is idle, and its CPU runs another task";
	const where = inner === undefined ? "in its entry code" : `in ${inner}`;
	if (!trace.reliable) return `has an unreliable stack, ${where}`;
	if (task.held || task.__state !== TASK_RUNNING) return `sleeps ${where}`;
	return task.on_cpu >= 0 ? `is running, ${where}` : `is ready to run, ${where}`;
}

/** `sleeper sleeps in funcB; worker is in user mode`: of each task that `tell` describes, at most eight. */
export function listTasks(tasks: readonly task_struct[], tell: (task: task_struct) => string): string {
	const shown = tasks.slice(0, MOST).map(tell);
	if (tasks.length > MOST) shown.push(`${tasks.length - MOST} more tasks`);
	return shown.join("; ");
}

/** The places of all tasks, without the idle ones; for messages about a wait that does not end. */
export function placesOf(parts: PlaceParts & { readonly sched: Sched }): string {
	return listTasks(parts.sched.tasks, (task) => `${task.comm} ${placeOf(parts, task)}`);
}
