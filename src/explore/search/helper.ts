import type { Model } from "../model.js";
import type { GuestContext, TaskContent, TaskState } from "../world/index.js";
import type { Row } from "./columns.js";
import type { SentStep } from "./executions.js";
import type { KernelContent, KernelState, Via } from "./kernel-state.js";
import { Moves } from "./moves.js";
import { Reduction } from "./reduction.js";
import { type KnownAtBegin, StepMaker } from "./step-maker.js";

/** An exploration begins, with what was found before. */
export interface HelperBegin extends KnownAtBegin {
	/** Of which exploration answers are from here on. */
	readonly round: number;
}

/** A task state, by its number. */
export interface HelperTask {
	readonly id: number;
	readonly content: TaskContent;
	readonly context: GuestContext;
}

/** A kernel state, by its number, and the step to it from another one that was sent before. */
export interface HelperKernel {
	readonly id: number;
	/** A key: the helper has found it. */
	readonly content: KernelContent | string;
	readonly via: (Omit<Via, "from" | "tasks"> & { readonly from: number; readonly tasks: Int32Array }) | undefined;
}

/** What a helper is to execute. Plain data; kernel states and task states go by the numbers of the search. */
export interface HelperRequest {
	readonly begin?: HelperBegin | undefined;
	/** The tasks that move from here on. */
	readonly active?: readonly string[] | undefined;
	readonly reduction: boolean;
	readonly tasks: readonly HelperTask[];
	readonly kernels: readonly HelperKernel[];
	/** Rows of states of which the actors' moves are wanted, one after the other, behind those that were asked for before. */
	readonly rows: Int32Array;
	/** Keys of kernel states that the helper has found and others execute from. */
	readonly taken: readonly string[];
}

export interface HelperAnswer {
	readonly round: number;
	readonly steps: readonly SentStep[];
	/** How many of all rows that the search has ever asked for are finished. */
	readonly done: number;
	/** It cannot help any more in this exploration. */
	readonly ended: boolean;
}

/** So many executions go in one answer: while the search waits for what it has asked for, and otherwise. */
const BATCH = { asked: 8, ahead: 32 } as const;

/**
 * Executes steps of actors for a search in another thread, on a machine of its own: those that the search asks for, and, while it asks for
 * none, those that follow. These are the cheaper ones: the machine is already where they begin, and the search, level by level, would have
 * to bring it there again for each. What it finds is the same as what the search would find.
 */
export class Helper {
	readonly #maker: StepMaker;
	#moves: Moves | undefined = undefined;
	#tasks: TaskState[] = [];
	#kernels: KernelState[] = [];
	/** Rows that the search wants. */
	#asked: Row[] = [];
	/** Those that it will come to; the last one is the next. */
	#ahead: Row[] = [];
	/** How many rows the search has asked for, and for how many of these it has the answer. */
	#wanted = 0;
	#answered = 0;
	/** Numbers of the kernel states that others execute from, so that little is made twice. */
	#taken = new Set<number>();
	#round = 0;

	constructor(model: Model) {
		this.#maker = new StepMaker(model);
	}

	/** Takes what the search asks for. */
	ask(request: HelperRequest): void {
		if (request.begin !== undefined) this.#begin(request.begin);
		this.#wanted += request.rows.length / (this.#maker.memo.world.names.length + 1);
		this.#try(() => this.#take(request));
	}

	/** Executes what the moves of one row need: first of those that were asked for, then of what follows. False: nothing is left. */
	work(): boolean {
		const asked = this.#asked.shift();
		const row = asked ?? this.#ahead.pop();
		if (row !== undefined && (asked || !this.#taken.has(row[0]!))) this.#try(() => this.#visit(row));
		return row !== undefined;
	}

	/** What the search is to get now. Undefined: nothing, or it can wait. */
	answer(): HelperAnswer | undefined {
		const done = this.#wanted - this.#asked.length;
		const isAsked = done > this.#answered;
		const isLast = this.#asked.length === 0 && (isAsked || this.#ahead.length === 0);
		const enough = this.#maker.count >= (isAsked ? BATCH.asked : BATCH.ahead);
		if (!enough && !(isLast && (isAsked || this.#maker.count > 0))) return undefined;
		this.#answered = done;
		return { round: this.#round, steps: this.#maker.take(), done, ended: this.#maker.hasEnded };
	}

	#begin({ round, ...known }: HelperBegin): void {
		this.#round = round;
		this.#maker.begin(known);
		this.#tasks = [];
		this.#kernels = [];
		this.#asked = [];
		this.#ahead = [];
		this.#taken = new Set();
	}

	/** An error in what it executes ends it: the search comes to it, too. */
	#try(execute: () => void): void {
		this.#maker.try(execute);
		if (!this.#maker.hasEnded) return;
		this.#asked = [];
		this.#ahead = [];
	}

	#take({ active, reduction, tasks, kernels, rows, taken }: HelperRequest): void {
		const { world } = this.#maker.memo;
		for (const key of taken) this.#taken.add(this.#maker.memo.known(key)!.id);
		for (const { id, content, context } of tasks) this.#tasks[id] = world.states.intern(content, context);
		for (const kernel of kernels) this.#kernels[kernel.id] = this.#kernelOf(kernel);
		const width = world.names.length + 1;
		if (active !== undefined) {
			this.#moves = new Moves(this.#maker.memo, new Reduction(world.model, world, active, reduction), width);
			this.#asked = [];
			this.#ahead = [];
		}
		for (let at = 0; at < rows.length; at += width) {
			const row = rows.slice(at, at + width);
			row[0] = this.#kernels[row[0]!]!.id;
			for (let i = 1; i < width; i++) row[i] = this.#tasks[row[i]!]!.id;
			this.#asked.push(row);
		}
	}

	#kernelOf({ content, via }: HelperKernel): KernelState {
		if (typeof content === "string") return this.#maker.memo.known(content)!;
		if (via === undefined) return this.#maker.memo.add(content, undefined);
		const { from, tasks } = via;
		const here = { ...via, from: this.#kernels[from]!, tasks: Array.from(tasks, (id) => this.#tasks[id]!) };
		return this.#maker.memo.add(content, here);
	}

	#visit(row: Row): void {
		const moves = this.#moves!;
		if (!moves.isUnknown("ofActors", row)) return;
		moves.visit("ofActors", row, (next, broken) => {
			if (broken.length === 0) this.#ahead.push(next.slice());
			return false;
		});
	}
}
