import { KlpemuError } from "../../base/index.js";
import { INVARIANTS } from "../../consistency/index.js";
import type { Model } from "../model.js";
import {
	type Effect,
	type GuestContext,
	type KnownMemory,
	type TaskContent,
	type TaskState,
	World,
} from "../world/index.js";
import type { Row } from "./columns.js";
import { kernelContent, type SentStep, sentEffect } from "./executions.js";
import type { KernelContent, KernelState, Via } from "./kernel-state.js";
import { Memo, type Recorder } from "./memo.js";
import { Moves } from "./moves.js";
import { Reduction } from "./reduction.js";

/** An exploration begins, with what was found before. */
export interface HelperBegin {
	/** Of which exploration answers are from here on. */
	readonly round: number;
	readonly memory: KnownMemory;
	readonly decisive: ReadonlyMap<string, readonly number[]>;
	readonly watched: readonly string[];
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
	readonly #world: World;
	#memo: Memo;
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
	/** Keys of the kernel states that the search has got from here. */
	#told = new Set<string>();
	#steps: SentStep[] = [];
	#ended = false;
	#round = 0;
	/** Number of watched functions when the exploration began. */
	#watched = 0;

	constructor(model: Model) {
		this.#world = new World(model);
		this.#memo = this.#newMemo();
	}

	#newMemo(): Memo {
		const recorder: Recorder = {
			begin: () => void this.#notes(),
			step: (via, effect, to) => this.#noteStep(via, effect, to),
		};
		return new Memo(this.#world, new Set(INVARIANTS), { recorder });
	}

	/** Takes what the search asks for. */
	ask(request: HelperRequest): void {
		if (request.begin !== undefined) this.#begin(request.begin);
		this.#wanted += request.rows.length / (this.#world.names.length + 1);
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
		const enough = this.#steps.length >= (isAsked ? BATCH.asked : BATCH.ahead);
		if (!enough && !(isLast && (isAsked || this.#steps.length > 0))) return undefined;
		const answer = { round: this.#round, steps: this.#steps, done, ended: this.#ended };
		this.#steps = [];
		this.#answered = done;
		return answer;
	}

	/** An error in what it executes ends it: the search comes to it, too. */
	#try(execute: () => void): void {
		if (this.#ended) return;
		try {
			execute();
		} catch (error) {
			if (!(error instanceof KlpemuError)) throw error;
			this.#end();
		}
	}

	#end(): void {
		this.#ended = true;
		this.#asked = [];
		this.#ahead = [];
	}

	#begin({ round, memory, decisive, watched }: HelperBegin): void {
		this.#round = round;
		const world = this.#world;
		world.model.notes?.watch(watched);
		this.#watched = world.model.functions.length;
		world.restart();
		world.shared.beginWith(memory);
		world.states.decisive.beginWith(decisive);
		world.model.notes?.take();
		this.#memo = this.#newMemo();
		this.#tasks = [];
		this.#kernels = [];
		this.#asked = [];
		this.#ahead = [];
		this.#taken = new Set();
		this.#told = new Set();
		this.#ended = false;
	}

	#take({ active, reduction, tasks, kernels, rows, taken }: HelperRequest): void {
		const { world } = this.#memo;
		for (const key of taken) this.#taken.add(this.#memo.known(key).id);
		for (const { id, content, context } of tasks) this.#tasks[id] = world.states.intern(content, context);
		for (const kernel of kernels) this.#kernels[kernel.id] = this.#kernelOf(kernel);
		const width = world.names.length + 1;
		if (active !== undefined) {
			this.#moves = new Moves(this.#memo, new Reduction(world.model, world, active, reduction), width);
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
		if (typeof content === "string") return this.#memo.known(content);
		if (via === undefined) return this.#memo.add(content, undefined);
		const { from, tasks } = via;
		const here = { ...via, from: this.#kernels[from]!, tasks: Array.from(tasks, (id) => this.#tasks[id]!) };
		return this.#memo.add(content, here);
	}

	#visit(row: Row): void {
		const moves = this.#moves!;
		if (!moves.isUnknown("ofActors", row)) return;
		moves.visit("ofActors", row, (next, broken) => {
			if (broken.length === 0) this.#ahead.push(next.slice());
			return false;
		});
	}

	// ---- what was executed ----

	/** What follows is not as in the search, until that has found the same. */
	get #isStrange(): boolean {
		const { model, hasUnknown } = this.#world;
		return model.functions.length !== this.#watched || hasUnknown;
	}

	#notes(): SentStep["notes"] {
		return { memory: this.#world.shared.takeNotes(), model: this.#world.model.notes?.take() ?? [] };
	}

	#noteStep({ from, actor, late }: Via, effect: Effect, to: KernelState | undefined): void {
		const notes = this.#notes();
		if (this.#isStrange) this.#end();
		if (this.#ended) return;
		this.#steps.push({
			...{ from: from.key, actor, late, ...sentEffect(effect), notes },
			to: to && (this.#told.has(to.key) ? to.key : kernelContent(to)),
		});
		if (to !== undefined) this.#told.add(to.key);
	}
}
