import { TASK_DEAD, TASK_INTERRUPTIBLE, TASK_RUNNING, TIF_PATCH_PENDING } from "../../linux/sched/index.js";
import type { Read, TaskState, TaskStates } from "../world/index.js";

/**
 * A state as the search handles it: the number of the kernel's state, then by slot the numbers of the tasks' states
 * (`id`).
 */
export type Row = Int32Array;

/** The states of all tasks in a row, by slot. */
export function tasksOf({ all }: TaskStates, row: Row): TaskState[] {
	return Array.from(row.subarray(1), (id) => all[id]!);
}

/** A question about one task that its state alone answers, with a number from 0. */
export interface Question {
	/** `id`: number of the task's state. */
	at(id: number): number;
}

/** A number for each task state, by its id. It is computed the first time that it is needed. */
export class Column implements Question {
	readonly #states: readonly TaskState[];
	readonly #compute: (state: TaskState) => number;
	readonly #known: number[] = [];

	/** `states`: all task states, by id; their number grows. `compute`: not negative. */
	constructor(states: readonly TaskState[], compute: (state: TaskState) => number) {
		this.#states = states;
		this.#compute = compute;
	}

	at(id: number): number {
		const known = this.#known;
		// Computed in the order of the ids, so that the list has no holes.
		while (known.length <= id) known.push(this.#compute(this.#states[known.length]!));
		return known[id]!;
	}
}

/** A field of tasks; equal values have equal numbers. */
export interface FieldColumn {
	readonly column: Column;
	/** The number of a value. */
	number(value: unknown): number;
}

/** The fields that kernel code reads, as numbers. */
export class TaskColumns {
	readonly #states: readonly TaskState[];
	readonly #fields = new Map<string, FieldColumn>();

	constructor(states: readonly TaskState[]) {
		this.#states = states;
	}

	field(field: Exclude<Read["field"], "on_cpu">): FieldColumn {
		const known = this.#fields.get(field);
		if (known !== undefined) return known;
		const numbers = new Map<unknown, number>();
		const number = (value: unknown) => {
			let known = numbers.get(value);
			if (known === undefined) {
				known = numbers.size;
				numbers.set(value, known);
			}
			return known;
		};
		const read = (state: TaskState) => (field === "entries" ? state.entriesKey : state.fields[field]);
		const made = { column: new Column(this.#states, (state) => number(read(state))), number };
		this.#fields.set(field, made);
		return made;
	}
}

/** What the search asks about a task, as bits. */
export const TASK = {
	/** It can make a move, if it gets a CPU. */
	canMove: 1,
	/** It is on a CPU and cannot be taken off. */
	inKernel: 2,
	/** It is in a place where it may be on a CPU or not. */
	mayRun: 4,
	/** It runs in user mode: a task that is an actor makes its steps there. */
	inUserMode: 8,
	/** It sleeps until another task, or a signal, wakes it. */
	asleep: 16,
	/** A signal would wake it. */
	interruptible: 32,
	/** TIF_PATCH_PENDING is set. */
	pending: 64,
} as const;

/** The bits of {@link TASK}. `nonpreemptible`: a task that runs in the kernel stays on its CPU. */
export function taskBits({ alive, running, fields }: TaskState, nonpreemptible: boolean): number {
	if (!alive) return 0;
	const { mode, __state, held, wakeAt, trace_recursion, preempt_count, exiting, thread_flags } = fields;
	const inHost = mode === "host";
	const awake = __state === TASK_RUNNING;
	const waits = held === true || (!awake && wakeAt === Number.POSITIVE_INFINITY);
	let bits = 0;
	if (!waits && !inHost) bits |= TASK.canMove;
	if (trace_recursion !== 0 || preempt_count !== 0 || (running && nonpreemptible)) bits |= TASK.inKernel;
	if (awake && !held && !inHost) bits |= TASK.mayRun;
	if (awake && !held && mode === "user" && !exiting) bits |= TASK.inUserMode;
	if (waits && !inHost && __state !== TASK_DEAD) bits |= TASK.asleep;
	if (__state === TASK_INTERRUPTIBLE) bits |= TASK.interruptible;
	if ((thread_flags as number) & TIF_PATCH_PENDING) bits |= TASK.pending;
	return bits;
}
