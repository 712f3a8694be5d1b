import { type Broken, type Invariant, judgeStep, judgeTask } from "../../consistency/index.js";
import type { Model } from "../model.js";
import type { Move } from "../schedule.js";
import type { TaskState } from "../world/index.js";
import type { KernelState, Memo, Outcome } from "./memo.js";
import type { Reduction } from "./reduction.js";

/** One possible move in a state: the next state, and the invariants that it breaks. */
export interface Edge {
	readonly kernel: KernelState;
	readonly tasks: readonly TaskState[];
	readonly broken: readonly Broken[];
	/** Index of the actor that makes it, or -1 - slot of the task. */
	readonly by: number;
	readonly steps: number;
	/** For each step that reads on_cpu: its index, and the slots of the tasks on a CPU. */
	readonly busy: readonly (readonly number[])[];
	readonly late: boolean;
	readonly label: string;
}

/** Limit of steps of one actor without a visible point: more of them are a bug of klpemu. */
const CHAIN = 100_000;

/** An actor's way from one visible point to the next. */
interface Chain {
	readonly at: KernelState;
	readonly tasks: readonly TaskState[];
	readonly steps: number;
	readonly busy: readonly (readonly number[])[];
	readonly label: string;
	readonly broken: readonly Broken[];
}

/** The possible moves in a state. */
export class Moves {
	readonly #model: Model;
	readonly #memo: Memo;
	readonly #reduction: Reduction;
	readonly #invariants: ReadonlySet<Invariant>;

	/** `invariants`: only these count. */
	constructor(model: Model, memo: Memo, reduction: Reduction, invariants: ReadonlySet<Invariant>) {
		this.#model = model;
		this.#memo = memo;
		this.#reduction = reduction;
		this.#invariants = invariants;
	}

	*all(kernel: KernelState, tasks: readonly TaskState[]): Generator<Edge, void, void> {
		yield* this.ofTasks(kernel, tasks);
		yield* this.ofActors(kernel, tasks);
	}

	/** A list, because a generator made the search slower (npm run bench:explore). */
	ofTasks(kernel: KernelState, tasks: readonly TaskState[]): Edge[] {
		return [...this.#reduction.tasksThatMove(kernel, tasks)].map((slot) => this.#ofTask(kernel, tasks, slot));
	}

	*ofActors(kernel: KernelState, tasks: readonly TaskState[]): Generator<Edge, void, void> {
		for (const actor of this.#reduction.actorsThatMove(kernel, tasks)) {
			yield* this.#ofActor(kernel, tasks, actor, false);
			if (this.#reduction.mayBeLate(kernel, tasks, actor)) yield* this.#ofActor(kernel, tasks, actor, true);
		}
	}

	#ofTask(kernel: KernelState, tasks: readonly TaskState[], slot: number): Edge {
		const before = tasks[slot]!;
		const { state, label, broken } = this.#memo.moveTask(kernel, slot, before);
		const after = tasks.slice();
		after[slot] = state;
		const name = this.#memo.world.names[slot]!;
		const switched = state.patch_state !== before.patch_state;
		const step = { functions: this.#model.functions, from: kernel, to: kernel };
		return {
			kernel,
			tasks: after,
			broken: broken.length > 0 || !switched ? broken : judgeTask(step, name, before, state),
			by: -1 - slot,
			steps: 1,
			busy: NONE,
			late: false,
			label,
		};
	}

	*#ofActor(
		kernel: KernelState,
		tasks: readonly TaskState[],
		actor: number,
		late: boolean,
	): Generator<Edge, void, void> {
		const open: Chain[] = [{ at: kernel, tasks, steps: 0, busy: NONE, label: "", broken: NONE }];
		let turns = 0;
		for (let chain = open.pop(); chain !== undefined; chain = open.pop()) {
			if (turns++ > CHAIN) {
				const { name } = this.#memo.world.actors[actor]!;
				throw new Error(`internal error: '${name}' made ${CHAIN} steps without a visible point`);
			}
			const { at, tasks: here, steps } = chain;
			for (const outcome of this.#memo.step(at, actor, late && steps === 0, here, this.#reduction)) {
				const more = this.#follow(chain, outcome);
				if (more.broken.length === 0 && this.#reduction.goesStraightOn(at, actor, outcome)) open.push(more);
				else yield arrive(actor, late, more);
			}
		}
	}

	#follow(chain: Chain, outcome: Outcome): Chain {
		const { at, tasks, steps, busy } = chain;
		let next = tasks;
		if (outcome.changes.length > 0) {
			const changed = tasks.slice();
			for (const [slot, state] of outcome.changes) changed[slot] = state;
			next = changed;
		}
		const broken = outcome.broken.length > 0 ? outcome.broken : this.#judge(at, tasks, outcome, next);
		return {
			at: outcome.to,
			tasks: next,
			steps: steps + 1,
			busy: outcome.busy.length === 0 ? busy : [...busy, [steps, ...outcome.busy]],
			label: outcome.kind === "place" ? chain.label : outcome.label,
			broken: broken.length === 0 ? NONE : broken.filter(({ invariant }) => this.#invariants.has(invariant)),
		};
	}

	/** A move in the form of a schedule. */
	describe({ by, steps, busy, late, label }: Edge): Move {
		const { names, actors } = this.#memo.world;
		return {
			who: by < 0 ? names[-1 - by]! : actors[by]!.name,
			steps,
			busy: busy.flatMap(([step, ...slots]) => slots.map((slot) => ({ step: step!, task: names[slot]! }))),
			late,
			label,
		};
	}

	#judge(
		from: KernelState,
		before: readonly TaskState[],
		outcome: Outcome,
		after: readonly TaskState[],
	): readonly Broken[] {
		const { to, changes, kind } = outcome;
		const same = from.viewsId === to.viewsId && from.fromTo === to.fromTo && from.inTransition === to.inTransition;
		const nothing = same && changes.length === 0 && from.executableId === to.executableId;
		if (nothing && kind !== "done") return NONE;
		const step = { functions: this.#model.functions, from, to };
		return judgeStep(step, this.#memo.world.judged, before, after, kind === "done");
	}
}

function arrive(by: number, late: boolean, { at, tasks, broken, steps, busy, label }: Chain): Edge {
	return { kernel: at, tasks, broken, by, steps, busy, late, label };
}

const NONE: readonly never[] = [];
