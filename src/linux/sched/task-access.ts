import type { task_struct } from "./task.js";

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
