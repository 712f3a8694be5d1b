import { KlpemuError } from "../../base/index.js";
import { INVARIANTS } from "../../consistency/index.js";
import type { Model } from "../model.js";
import {
	type Effect,
	type GuestContext,
	type KnownMemory,
	type TaskContent,
	type TaskOutcome,
	type TaskState,
	World,
} from "../world/index.js";
import { contentOf, type NeededMove, type SentMove, type SentStep } from "./executions.js";
import type { KernelContent, KernelState, Via } from "./kernel-state.js";
import { Memo, type MemoOptions } from "./memo.js";
import { Moves } from "./moves.js";
import { Reduction } from "./reduction.js";

/** An exploration begins, with what was found before. */
export interface HelperBegin {
	readonly memory: KnownMemory;
	readonly decisive: ReadonlyMap<string, readonly number[]>;
	readonly watched: readonly string[];
}

/** A task state, by its number. It is sent again when it has more contexts. */
export interface HelperTask {
	readonly id: number;
	readonly content: TaskContent;
	readonly contexts: readonly GuestContext[];
}

/** A kernel state, by its number, and the step to it from another one that was sent before. */
export interface HelperKernel {
	readonly id: number;
	readonly content: KernelContent;
	readonly via: (Omit<Via, "from" | "tasks"> & { readonly from: number; readonly tasks: Int32Array }) | undefined;
}

/** See {@link NeededMove}. */
export interface HelperMove extends Omit<NeededMove, "kernel"> {
	readonly kernel: number;
}

/** What a helper is to execute. Plain data; kernel states and task states go by the numbers of the search. */
export interface HelperRequest {
	readonly begin?: HelperBegin | undefined;
	/** The tasks that move from here on. */
	readonly active?: readonly string[] | undefined;
	readonly reduction: boolean;
	readonly tasks: readonly HelperTask[];
	readonly kernels: readonly HelperKernel[];
	readonly moves: readonly HelperMove[];
	/** Rows of states of which the actors' moves are wanted, one after the other. */
	readonly rows: Int32Array;
}

export interface HelperAnswer {
	readonly steps: readonly SentStep[];
	readonly moves: readonly SentMove[];
	/** It cannot help any more in this exploration. */
	readonly ended: boolean;
}

/**
 * Executes for a search in another thread, on a machine of its own: moves of tasks, and all steps of actors that follow from a state. What
 * it finds is the same as what the search would find.
 */
export class Helper {
	readonly #world: World;
	#memo: Memo;
	#moves: Moves | undefined = undefined;
	#tasks: TaskState[] = [];
	#kernels: KernelState[] = [];
	/** Where each task state begins its moves: as in the search, the first with which it was reached first. */
	#contexts = new Map<TaskState, readonly GuestContext[]>();
	/** By what guest code sees: the task states whose moves were made. */
	#made = new Map<string, Set<TaskState>>();
	#steps: SentStep[] = [];
	#sent: SentMove[] = [];
	#ended = false;
	/** Number of watched functions when the exploration began. */
	#watched = 0;

	constructor(model: Model) {
		this.#world = new World(model);
		this.#memo = this.#newMemo();
	}

	#newMemo(): Memo {
		const recorder: MemoOptions["recorder"] = {
			step: (via, effect, to) => this.#noteStep(via, effect, to),
			taskMove: (from, task, context, outcome) => this.#noteMove(from, task, context, outcome),
		};
		return new Memo(this.#world, new Set(INVARIANTS), { recorder });
	}

	/** An error in what it executes ends it: the search comes to it, too. */
	answer(request: HelperRequest): HelperAnswer {
		if (request.begin !== undefined) this.#begin(request.begin);
		if (!this.#ended) {
			try {
				this.#execute(request);
			} catch (error) {
				if (!(error instanceof KlpemuError)) throw error;
				this.#ended = true;
			}
		}
		const answer = { steps: this.#steps, moves: this.#sent, ended: this.#ended };
		this.#steps = [];
		this.#sent = [];
		return answer;
	}

	#begin({ memory, decisive, watched }: HelperBegin): void {
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
		this.#contexts = new Map();
		this.#made = new Map();
		this.#ended = false;
	}

	#execute({ active, reduction, tasks, kernels, moves, rows }: HelperRequest): void {
		const { world } = this.#memo;
		for (const { id, content, contexts } of tasks) {
			const state = world.states.intern(content, contexts[0]!);
			this.#tasks[id] = state;
			this.#contexts.set(state, contexts);
		}
		for (const kernel of kernels) this.#kernels[kernel.id] = this.#memo.add(kernel.content, this.#via(kernel.via));
		if (active !== undefined) {
			const width = world.names.length + 1;
			this.#moves = new Moves(this.#memo, new Reduction(world.model, world, active, reduction), width);
		}
		for (const move of moves) this.#moveTask(move);
		this.#moveActors(rows);
	}

	#via(via: HelperKernel["via"]): Via | undefined {
		if (via === undefined) return undefined;
		const { from, tasks } = via;
		return { ...via, from: this.#kernels[from]!, tasks: Array.from(tasks, (id) => this.#tasks[id]!) };
	}

	/** Also the moves that follow while the task keeps its CPU: the search makes them, too. */
	#moveTask({ kernel, slot, task, context: wanted, goesOn }: HelperMove): void {
		const from = this.#kernels[kernel]!;
		const start = this.#tasks[task]!;
		let made = this.#made.get(from.guest);
		if (made === undefined) {
			made = new Set();
			this.#made.set(from.guest, made);
		}
		if (goesOn) made.add(start);
		let outcome = this.#memo.makeTaskMove(from, slot, start, wanted);
		while (goesOn && this.#memo.keepsCpu(outcome) && !made.has(outcome.state) && !this.#ended) {
			const { state, context } = outcome;
			made.add(state);
			const [first = context, ...others] = this.#contexts.get(state) ?? [];
			if (others.length === 0) this.#contexts.set(state, [first]);
			for (const other of others) this.#memo.makeTaskMove(from, slot, state, other);
			outcome = this.#memo.makeTaskMove(from, slot, state, first);
		}
	}

	#moveActors(rows: Int32Array): void {
		const width = this.#world.names.length + 1;
		for (let at = 0; at < rows.length && !this.#ended; at += width) {
			const row = rows.slice(at, at + width);
			row[0] = this.#kernels[row[0]!]!.id;
			for (let i = 1; i < width; i++) row[i] = this.#tasks[row[i]!]!.id;
			this.#moves!.visit("ofActors", row, () => false);
		}
	}

	// ---- what was executed ----

	/** What follows is not as in the search, until that has found the same. */
	#isStrange(endless: string | undefined): boolean {
		const { model, hasUnknown } = this.#world;
		if (endless === undefined && model.functions.length === this.#watched && !hasUnknown) return false;
		this.#ended = true;
		return true;
	}

	#notes(): SentStep["notes"] {
		return { memory: this.#world.shared.takeNotes(), model: this.#world.model.notes?.take() ?? [] };
	}

	#noteStep({ from, actor, late }: Via, effect: Effect, to: KernelState | undefined): void {
		if (this.#isStrange(undefined)) return;
		const { replaced, captured, ...rest } = effect;
		const states = [...replaced].map(([slot, state]) => {
			return [slot, { content: contentOf(state), context: captured.get(slot) ?? state.contexts[0]! }] as const;
		});
		this.#steps.push({
			...{ from: from.key, actor, late, effect: rest, replaced: new Map(states) },
			to: to && kernelContent(to),
			notes: this.#notes(),
		});
	}

	#noteMove(from: KernelState, task: TaskState, context: GuestContext, outcome: TaskOutcome): void {
		const { state, label, broken, endless } = outcome;
		if (this.#isStrange(endless)) return;
		const next = { content: contentOf(state), context: outcome.context };
		this.#sent.push({ guest: from.guest, task: task.key, context, next, label, broken, notes: this.#notes() });
	}
}

/** Of a kernel state: what any world says about it. */
export function kernelContent(state: KernelState): KernelContent {
	const { id: _id, via: _via, saved: _saved, text: _text, look: _look, ...content } = state;
	return content;
}
