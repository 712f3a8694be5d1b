import type { task_struct } from "./task.js";

/** How a field is read and written. */
export interface Accessor<T> {
	get(): T;
	set(value: T): void;
}

/**
 * Puts an accessor in the place of a field of one task: for a livepatch core that keeps the field in guest memory (patch_state,
 * thread_flags, trace_recursion, __state, preempt_count), and for observers of reads and writes. `wrap` is given the accessor
 * that was there before, which leads to the value. Several can lie around each other; the newest is the outermost.
 * The result is what `wrap` was given.
 *
 * A field that no accessor has been put over remains a plain one: in the hot path of klp_ftrace_handler() it costs one load.
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
