import { type Broken, type Invariant, judgeStep, judgeTask } from "../../consistency/index.js";
import type { TaskState, World } from "../world/index.js";
import { Column, type Row, tasksOf } from "./columns.js";
import type { KernelState, TaskMove } from "./kernel-state.js";
import { CHANGED, type Outcome } from "./outcome.js";
import type { Position } from "./trace.js";

/** What is known about steps between two looks of the kernel. */
interface Between {
	/** 1: the step breaks no invariant for a task that it does not change. */
	readonly unchanged: Column;
	/** Undefined: not judged yet. */
	isCompletionFine: boolean | undefined;
}

/**
 * Judges moves, with consistency/judge.ts. A verdict on one task depends on the looks of the kernel before and after the
 * move and on the task's state, so that each is computed once. The broken invariants themselves are worked out for
 * the whole state, which is rare.
 */
export class Judge {
	readonly #world: World;
	readonly #invariants: ReadonlySet<Invariant>;
	/** By the looks before and after. */
	readonly #between: Between[][] = [];

	/** `invariants`: only these count. */
	constructor(world: World, invariants: ReadonlySet<Invariant>) {
		this.#world = world;
		this.#invariants = invariants;
	}

	/** The invariants that a step of kernel code breaks. `changed`: the bits of {@link CHANGED}. */
	ofStep(outcome: Outcome, before: Row, after: Position, changed: number): readonly Broken[] {
		const { from, to, effect } = outcome;
		if (effect.broken.length > 0) return this.#counted(effect.broken);
		const completed = effect.kind === "done";
		if (changed === 0 && from.look === to.look && !completed) return NONE;
		if (!(changed & CHANGED.badly) && this.#isRestFine(outcome, before, after, completed)) return NONE;
		const { judged } = this.#world;
		const { states } = this.#world;
		after.noteMore();
		return this.#judge(outcome, judged, tasksOf(states, before), tasksOf(states, after.row), completed);
	}

	/** True if all but the changes of tasks is fine. */
	#isRestFine({ from, to }: Outcome, before: Row, after: Position, completed: boolean): boolean {
		const between = this.#betweenLooks(from, to);
		if (completed) {
			between.isCompletionFine ??= this.#judge({ from, to }, [], [], [], true).length === 0;
			if (!between.isCompletionFine) return false;
		}
		const { judged } = this.#world;
		for (let slot = 0; slot < judged.length; slot++) {
			const isSame = before[slot + 1] === after.row[slot + 1];
			if (isSame && after.ask(slot, between.unchanged) === 0) return false;
		}
		return true;
	}

	#betweenLooks(from: KernelState, to: KernelState): Between {
		const known = this.#between[from.look]?.[to.look];
		if (known !== undefined) return known;
		const { judged, states } = this.#world;
		const unchanged = new Column(states.all, (task) => {
			const name = judged[task.slot];
			return Number(name === undefined || this.#judge({ from, to }, [name], [task], [task], false).length === 0);
		});
		const made = { unchanged, isCompletionFine: undefined };
		this.#between[from.look] ??= [];
		this.#between[from.look]![to.look] = made;
		return made;
	}

	/** True if a step's change of one task breaks no invariant. */
	isChangeFine({ from, to }: Outcome, slot: number, before: number, after: number): boolean {
		const name = this.#world.judged[slot];
		if (name === undefined) return true;
		const { all } = this.#world.states;
		return this.#judge({ from, to }, [name], [all[before]!], [all[after]!], false).length === 0;
	}

	#judge(
		{ from, to }: { readonly from: KernelState; readonly to: KernelState },
		names: readonly string[],
		before: readonly TaskState[],
		after: readonly TaskState[],
		completed: boolean,
	): readonly Broken[] {
		const step = { functions: this.#world.model.functions, from, to };
		return this.#counted(judgeStep(step, names, before, after, completed));
	}

	#counted(broken: readonly Broken[]): readonly Broken[] {
		return broken.filter(({ invariant }) => this.#invariants.has(invariant));
	}

	/** The invariants that a move of a task breaks, also those that do not count: the search does not continue there. */
	ofTaskMove(kernel: KernelState, slot: number, before: number, move: TaskMove): readonly Broken[] {
		const { outcome, fineIn } = move;
		if (outcome.broken.length > 0) return outcome.broken;
		const from = this.#world.states.all[before]!;
		if (outcome.state.patch_state === from.patch_state || fineIn[kernel.look]) return NONE;
		const step = { functions: this.#world.model.functions, from: kernel, to: kernel };
		const broken = judgeTask(step, this.#world.names[slot]!, from, outcome.state);
		if (broken.length === 0) fineIn[kernel.look] = true;
		return broken;
	}
}

const NONE: readonly never[] = [];
