import { type Accessor, accessField, type task_struct } from "../../linux/sched/index.js";
import { TASK_FIELDS, type TaskField, type TaskFields } from "./task-state.js";

/**
 * A read of a task by kernel code. `on_cpu` is no state, but a choice of the explorer. `entries`: the code reads the task's stack.
 */
export interface Read {
	readonly slot: number;
	readonly field: TaskField | "on_cpu" | "entries";
	readonly value: unknown;
}

/** Fields of a task that kernel code has written. */
export type Written = Partial<Record<TaskField, unknown>>;

/** What a piece of kernel code has read and written of tasks. */
export interface Touched {
	readonly reads: readonly Read[];
	/** By slot. */
	readonly writes: ReadonlyMap<number, Written>;
}

/** The values of a task's fields, behind the probe. */
type Values = Readonly<Record<TaskField, Accessor<unknown>>>;

/**
 * Sees which fields of tasks kernel code reads and writes. It puts accessors in the place of the fields of each task_struct, and is
 * the only part of the explorer that knows of them.
 */
export class TaskProbe {
	readonly #current: () => task_struct;
	readonly #values = new WeakMap<task_struct, Values>();
	/** Only while {@link record} runs. */
	#reads: Read[] | undefined = undefined;
	#writes = new Map<number, Written>();
	#busy: ReadonlySet<number> = new Set();

	/** `current`: the task that executes. */
	constructor(current: () => task_struct) {
		this.#current = current;
	}

	/** The task has its accessors. */
	has(task: task_struct): boolean {
		return this.#values.has(task);
	}

	/** Gives a task its accessors. `slot` is the number that reads and writes of it are told with. */
	attach(task: task_struct, slot: number): void {
		const values = Object.fromEntries(TASK_FIELDS.map((field) => [field, this.#watch(task, slot, field)]));
		accessField(task, "on_cpu", () => ({
			get: () => {
				if (task === this.#current()) return 0;
				const busy = this.#busy.has(slot);
				this.#noteRead(slot, "on_cpu", busy);
				return busy ? 1 : -1;
			},
			set: () => {},
		}));
		this.#values.set(task, values as Values);
	}

	/** The result leads to the field without being seen. */
	#watch<F extends TaskField>(task: task_struct, slot: number, field: F): Accessor<task_struct[F]> {
		return accessField(task, field, (inner) => ({
			get: () => {
				const value = inner.get();
				if (this.#reads !== undefined) this.#noteRead(slot, field, value);
				return value;
			},
			set: (value) => {
				inner.set(value);
				if (this.#reads !== undefined) this.#noteWrite(slot, field, value);
			},
		}));
	}

	/** The fields of a task, without a read. */
	fields(task: task_struct): TaskFields {
		const values = this.#values.get(task)!;
		return Object.fromEntries(TASK_FIELDS.map((field) => [field, values[field].get()])) as TaskFields;
	}

	/** Sets the fields of a task, without a write. */
	load(task: task_struct, fields: TaskFields): void {
		const values = this.#values.get(task)!;
		for (const field of TASK_FIELDS) values[field].set(fields[field]);
	}

	/** Kernel code reads the stack of a task. */
	noteStackRead(slot: number, entriesKey: string): void {
		this.#noteRead(slot, "entries", entriesKey);
	}

	/** Runs kernel code. `busy`: slots of the tasks that are on a CPU meanwhile, if the code looks. */
	record<T>(busy: ReadonlySet<number>, code: () => T): { readonly result: T; readonly touched: Touched } {
		const reads: Read[] = [];
		const writes = new Map<number, Written>();
		this.#reads = reads;
		this.#writes = writes;
		this.#busy = busy;
		try {
			return { result: code(), touched: { reads, writes } };
		} finally {
			this.#reads = undefined;
		}
	}

	/** Only the first read of a field counts, and no read of a field that this very code has written: the rest follows from these. */
	#noteRead(slot: number, field: Read["field"], value: unknown): void {
		if (this.#reads === undefined) return;
		if (this.#reads.some((read) => read.slot === slot && read.field === field)) return;
		if (field in (this.#writes.get(slot) ?? NOTHING)) return;
		this.#reads.push({ slot, field, value });
	}

	#noteWrite(slot: number, field: TaskField, value: unknown): void {
		const written = this.#writes.get(slot) ?? {};
		written[field] = value;
		this.#writes.set(slot, written);
	}
}

const NOTHING: Written = {};
