import type { Kaddr, Memory } from "../../memory/index.js";
import { TASK_RUNNING, type task_struct } from "./task.js";

/** Functions that read and write a field. */
export interface Accessor<T> {
	get(): T;
	set(value: T): void;
}

/**
 * Replaces a field of one task by an accessor: for a livepatch core that keeps the field in guest memory (patch_state,
 * thread_flags, trace_recursion, preempt_count), and for observers of reads and writes. `wrap` gets the
 * previous accessor, which leads to the value. Accessors can be nested; the newest one is the outermost. Returns the
 * accessor that `wrap` got.
 *
 * A field without an accessor stays a plain field: in the hot path of klp_ftrace_handler() it costs one load.
 */
export function accessField<F extends keyof task_struct>(
	task: task_struct,
	field: F,
	wrap: (inner: Accessor<task_struct[F]>) => Accessor<task_struct[F]>,
): Accessor<task_struct[F]> {
	const inner = accessorOf(task, field);
	const { get, set } = wrap(inner);
	Object.defineProperty(task, field, { enumerable: true, configurable: true, get, set });
	return inner;
}

/** task_struct.usage, of which a task that lives has two: it lies in front of `flags` (include/linux/sched.h). */
export function initTaskUsage(memory: Memory, flags: Kaddr): void {
	memory.setU32((flags - 4) | 0, 2);
}

/**
 * set_current_state() of code that was compiled with the kernel's headers writes the state where it is, in the task_struct (`at`); a wake-up
 * takes it back.
 */
export function keepSleepState(task: task_struct, memory: Memory, at: Kaddr): void {
	accessField(task, "sleep_state", ({ get, set }) => ({
		get: () => memory.u32(at) || get(),
		set(state) {
			set(state === undefined ? undefined : TASK_RUNNING);
			memory.setU32(at, state ?? 0);
		},
	}));
}

function accessorOf<F extends keyof task_struct>(task: task_struct, field: F): Accessor<task_struct[F]> {
	const there = Object.getOwnPropertyDescriptor(task, field);
	if (there?.get !== undefined && there.set !== undefined) return { get: there.get, set: there.set };
	let value = task[field];
	return {
		get: () => value,
		set: (now) => {
			value = now;
		},
	};
}
