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

/** The reads and writes of tasks by a piece of kernel code. */
export interface Touched {
	readonly reads: readonly Read[];
	/** By slot. */
	readonly writes: ReadonlyMap<number, Written>;
}

/** The values of a task's fields, behind the probe. */
type Values = Readonly<Record<TaskField, Accessor<unknown>>>;

/**
 * Records the fields of tasks that kernel code reads and writes. It replaces the fields of each task_struct by
 * accessors; no other part of the explorer uses these.
 */
export class TaskProbe {
	readonly #current: () => task_struct;
	readonly #places: readonly TaskField[];
	readonly #values = new WeakMap<task_struct, Values>();
	readonly #slots = new WeakMap<task_struct, number>();
	/** Only while {@link record} runs. */
	#reads: Read[] | undefined = undefined;
	#writes = new Map<number, Written>();
	#busy: ReadonlySet<number> = new Set();

	/** `current`: the task that executes. `places`: see {@link #watch}. */
	constructor(current: () => task_struct, places: readonly TaskField[]) {
		this.#current = current;
		this.#places = places;
	}

	/** True if the task has its accessors. */
	has(task: task_struct): boolean {
		return this.#values.has(task);
	}

	/** Gives a task its accessors. `slot` is its number in the recorded reads and writes. */
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
		this.#slots.set(task, slot);
	}

	/**
	 * The result accesses the field without being recorded. Some fields of the task that executes are a part of its actor's place: `mode` is
	 * where it is in guest code that TypeScript has called, preempt_count is what a compiled core's code makes of it there.
	 */
	#watch<F extends TaskField>(task: task_struct, slot: number, field: F): Accessor<task_struct[F]> {
		const isPlace = () => this.#places.includes(field) && task === this.#current();
		return accessField(task, field, (inner) => ({
			get: () => {
				const value = inner.get();
				if (this.#reads !== undefined && !isPlace()) this.#noteRead(slot, field, value);
				return value;
			},
			set: (value) => {
				inner.set(value);
				if (this.#reads !== undefined && !isPlace()) this.#noteWrite(slot, field, value);
			},
		}));
	}

	/** The fields of a task; this is not recorded as a read. */
	fields(task: task_struct): TaskFields {
		const values = this.#values.get(task)!;
		const fields = {} as Record<TaskField, unknown>;
		for (const field of TASK_FIELDS) fields[field] = values[field].get();
		return fields;
	}

	/** Sets the fields of a task; this is not recorded as a write. */
	load(task: task_struct, fields: TaskFields): void {
		const values = this.#values.get(task)!;
		for (const field of TASK_FIELDS) values[field].set(fields[field]);
	}

	/** Guest code is about to read a field that a livepatch core keeps in guest memory. */
	guestRead(task: task_struct, field: TaskField): void {
		const slot = this.#slots.get(task);
		if (slot !== undefined) this.#noteRead(slot, field, this.#values.get(task)![field].get());
	}

	/** Guest code has written it. */
	guestWrote(task: task_struct, field: TaskField): void {
		const slot = this.#slots.get(task);
		if (slot !== undefined && this.#reads !== undefined)
			this.#noteWrite(slot, field, this.#values.get(task)![field].get());
	}

	/** A field, without being recorded. */
	value(task: task_struct, field: TaskField): Accessor<unknown> {
		return this.#values.get(task)![field];
	}

	/** Called when kernel code reads the stack of a task. */
	noteStackRead(slot: number, entriesKey: string): void {
		this.#noteRead(slot, "entries", entriesKey);
	}

	/** Runs kernel code. `busy`: slots of the tasks that are on a CPU, if the code reads on_cpu. */
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

	/**
	 * Only the first read of a field is recorded, and no read of a field that the same code has written: the other
	 * values follow from these.
	 */
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
