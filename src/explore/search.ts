import { TASK_RUNNING } from "../sched/index.js";
import type { Invariant } from "../report/index.js";
import { type Broken, judgeCompletion, judgeStep, judgeTuple } from "./judge.js";
import { isExecutable, KernelGraph, type KernelState, type Outcome } from "./kernel-graph.js";
import type { Model } from "./model.js";
import type { Move } from "./schedule.js";
import { Table } from "./table.js";
import type { TaskState } from "./task-state.js";

export interface SearchOptions {
	/** Stop after so many states. */
	readonly budget: number;
	/** Asked from time to time: shall it stop? */
	readonly interrupted?: () => boolean;
	/** Told from time to time how many states there are, and how many of them have been looked at. */
	readonly onProgress?: (states: number, expanded: number) => void;
	/** Only these invariants count. */
	readonly invariants: ReadonlySet<Invariant>;
	/** Find the shortest schedule for each invariant that can be broken, instead of stopping at the first. */
	readonly all: boolean;
	/** Leave out what cannot make a difference (docs/exploring.md). Off, the same verdicts take longer. */
	readonly reduction: boolean;
	/** Of several processes that share the work, this one's part: see {@link Shard}. */
	readonly shard?: Shard;
}

export interface Shard {
	readonly index: number;
	readonly count: number;
}

export interface FoundViolation {
	readonly broken: Broken;
	readonly moves: readonly Move[];
}

export interface SearchResult {
	readonly result: "complete" | "bounded" | "violated";
	readonly violations: readonly FoundViolation[];
	readonly states: number;
	readonly transitions: number;
	/** Moves on the longest of the shortest ways to a state. */
	readonly depth: number;
	readonly bytes: number;
	/** How often kernel code and guest code really ran. */
	readonly executed: { readonly kernel: number; readonly guest: number; readonly replayed: number };
}

/**
 * Points at the end of one turn of a loop over all tasks. A turn looks at one task and changes that one only, so that whatever
 * another task does in between can as well be done before the loop, or after it.
 */
const TURNS: ReadonlySet<string> = new Set([
	"klp_start_transition: TIF_PATCH_PENDING",
	"klp_try_switch_task: patch_state",
	"klp_try_complete_transition: offline idle task",
	"klp_send_signals",
]);

/** How many moves lead away from a state before somebody else's turn is considered: a bound for mistakes, not for searches. */
const CHAIN = 100_000;

/** An actor's way from one point that matters to the next. */
interface Chain {
	readonly at: KernelState;
	readonly tasks: TaskState[];
	readonly steps: number;
	readonly busy: readonly (readonly number[])[];
	readonly label: string;
	readonly broken: readonly Broken[];
}

/**
 * Breadth first, so that the first schedule that is found for a violation is a shortest one. A state is the number of a kernel
 * state and those of all task states; the search itself only handles numbers.
 */
export class Search {
	readonly graph: KernelGraph;
	readonly #model: Model;
	readonly #options: SearchOptions;
	/** Slots of the tasks that make moves. */
	readonly #active: readonly number[];
	/** Slot of the task that stands for all that are left out: it may be on a CPU whenever somebody looks. */
	readonly #other: number;
	readonly #table: Table;
	/** By state: the one that it was reached from, and by which move. */
	readonly #parents: number[] = [-1];
	readonly #moves: (Move | undefined)[] = [undefined];
	readonly #violations = new Map<Invariant, FoundViolation>();
	#transitions = 0;
	readonly deadEnds: number[] = [];
	#current = 0;

	/** `active`: names of the tasks that make moves. */
	constructor(model: Model, graph: KernelGraph, active: readonly string[], options: SearchOptions) {
		this.#model = model;
		this.graph = graph;
		this.#options = options;
		const { world } = graph;
		this.#active = active.map((name) => world.slot(name));
		this.#other = model.machine.sched.cpus.length > 1 ? world.slots.length - 1 : -1;
		this.#table = new Table(world.slots.length + 1);
	}

	run(): SearchResult {
		const { world } = this.graph;
		const row = new Int32Array(world.slots.length + 1);
		this.graph.goto(this.graph.first);
		const first = this.graph.firstTasks;
		this.#add(this.graph.first, first);
		let depth = 0;
		let levelEnd = 1;
		let bounded = false;
		for (this.#current = 0; this.#current < this.#table.length; this.#current++) {
			if (this.#current === levelEnd) {
				depth++;
				levelEnd = this.#table.length;
			}
			if (this.#table.length >= this.#options.budget) bounded = true;
			if ((this.#current & 1023) === 0) {
				this.#options.onProgress?.(this.#table.length, this.#current);
				if (this.#options.interrupted?.()) bounded = true;
			}
			if (bounded || (this.#violations.size > 0 && !this.#options.all)) break;
			this.#table.read(this.#current, row);
			const tasks: TaskState[] = [];
			for (let slot = 0; slot < world.slots.length; slot++) tasks.push(world.states.all[row[slot + 1]!]!);
			const before = this.#transitions;
			this.#expand(this.graph.states[row[0]!]!, tasks);
			if (this.#transitions === before) this.deadEnds.push(this.#current);
		}
		const violations = [...this.#violations.values()];
		return {
			result: violations.length > 0 ? "violated" : bounded ? "bounded" : "complete",
			violations,
			states: this.#table.length,
			transitions: this.#transitions,
			depth,
			bytes: this.#table.bytes + 16 * this.#table.length,
			executed: this.graph.executed,
		};
	}

	#add(kernel: KernelState, tasks: readonly TaskState[]): boolean {
		const row = new Array<number>(tasks.length + 1);
		row[0] = kernel.id;
		for (let slot = 0; slot < tasks.length; slot++) row[slot + 1] = tasks[slot]!.id;
		return this.#table.add(row) < 0;
	}

	// ---- moves ----

	#expand(kernel: KernelState, tasks: TaskState[]): void {
		const busyTasks = this.#countInKernel(tasks);
		const cpus = this.#model.machine.sched.cpus.length;
		const actorsOn = this.#model.preemption === "none" ? kernel.onCpu.filter(Boolean).length : 0;
		for (const [actor, title] of kernel.next.entries()) {
			if (title === undefined) continue;
			const has = this.#model.preemption === "none" && kernel.onCpu[actor];
			if (!has && busyTasks + actorsOn + 1 > cpus) continue;
			this.#expandActor(kernel, tasks, actor, false);
			const worker = actor === kernel.next.length - 1;
			if (worker && kernel.retries && !kernel.onCpu[actor] && this.#somebodySleeps(tasks)) {
				this.#expandActor(kernel, tasks, actor, true);
			}
		}
		for (const slot of this.#active) {
			const task = tasks[slot]!;
			if (!canMove(task)) continue;
			if (!this.#inKernel(task) && busyTasks + actorsOn + 1 > cpus) continue;
			this.#expandTask(kernel, tasks, slot);
		}
	}

	#countInKernel(tasks: readonly TaskState[]): number {
		let count = 0;
		for (let slot = 0; slot < this.#model.tasks.length; slot++) if (this.#inKernel(tasks[slot]!)) count++;
		return count;
	}

	/** It is on a CPU and cannot be taken off. */
	#inKernel({ alive, running, fields }: TaskState): boolean {
		if (!alive) return false;
		return fields.trace_recursion !== 0 || fields.preempt_count !== 0 || (running && this.#model.preemption === "none");
	}

	/** Signals would change something. */
	#somebodySleeps(tasks: readonly TaskState[]): boolean {
		return this.#active.some((slot) => {
			const { alive, fields } = tasks[slot]!;
			return alive && fields.__state !== TASK_RUNNING && fields.wakeAt === Number.POSITIVE_INFINITY;
		});
	}

	#expandTask(kernel: KernelState, tasks: TaskState[], slot: number): void {
		const before = tasks[slot]!;
		const { state, label, broken } = this.graph.moveTask(kernel, slot, before);
		this.#transitions++;
		const after = tasks.slice();
		after[slot] = state;
		const name = this.graph.world.slots[slot]!;
		const judged =
			broken[0] ?? (state.alive ? this.#judgeTask(kernel, kernel, name, before, state) : undefined);
		this.#reach(kernel, after, judged === undefined ? [] : [judged], () => ({ who: name, steps: 1, busy: [], late: false, label }));
	}

	#expandActor(kernel: KernelState, tasks: TaskState[], actor: number, late: boolean): void {
		const { world } = this.graph;
		const open: Chain[] = [{ at: kernel, tasks, steps: 0, busy: [], label: "", broken: [] }];
		for (let chain = open.pop(), turns = 0; chain !== undefined; chain = open.pop(), turns++) {
			if (turns > CHAIN) throw new Error(`${world.actors[actor]!.name} never comes to a point that matters`);
			const { at, tasks: here } = chain;
			const mayBeBusy = (slot: number) => this.#mayBeBusy(at, here, slot, actor);
			for (const outcome of this.graph.step(at, actor, late && chain.steps === 0, here, mayBeBusy)) {
				const next = here.slice();
				for (const [slot, state] of outcome.changes) next[slot] = state;
				const broken = outcome.broken.length > 0 ? outcome.broken : this.#judge(at, here, outcome, next);
				const counted = broken.filter(({ invariant }) => this.#options.invariants.has(invariant));
				const more: Chain = {
					at: outcome.to,
					tasks: next,
					steps: chain.steps + 1,
					busy: outcome.busy.length === 0 ? chain.busy : [...chain.busy, [chain.steps, ...outcome.busy]],
					label: outcome.isPlace ? chain.label : outcome.label,
					broken: counted,
				};
				if (counted.length === 0 && this.#nobodyCares(at, actor, outcome)) open.push(more);
				else this.#arrive(actor, late, more);
			}
		}
	}

	#arrive(actor: number, late: boolean, chain: Chain): void {
		this.#transitions++;
		const { world } = this.graph;
		this.#reach(chain.at, chain.tasks, chain.broken, () => ({
			who: world.actors[actor]!.name,
			steps: chain.steps,
			busy: chain.busy.flatMap(([step, ...slots]) => slots.map((slot) => ({ step: step!, task: world.slots[slot]! }))),
			late,
			label: chain.label,
		}));
	}

	/** May everybody else wait for this actor's next point? The argument for each case is in docs/exploring.md. */
	#nobodyCares(at: KernelState, actor: number, outcome: Outcome): boolean {
		if (!this.#options.reduction) return false;
		if (outcome.isPlace || TURNS.has(outcome.label)) return true;
		const alone = at.mutexHeld && outcome.to.mutexHeld && at.outOfTheWay.every((out, other) => out || other === actor);
		return alone && !outcome.touchesTasks && outcome.to.text === at.text && outcome.to.next[actor] !== undefined;
	}

	/** Whether a task can be on a CPU, or not, when `actor` looks. */
	#mayBeBusy(kernel: KernelState, tasks: readonly TaskState[], slot: number, actor: number): readonly boolean[] {
		const task = tasks[slot]!;
		if (this.#inKernel(task)) return [true];
		const takesPart = slot === this.#other || this.#active.includes(slot);
		const others = this.#model.preemption === "none" ? kernel.onCpu.filter((on, index) => on && index !== actor).length : 0;
		const room = this.#countInKernel(tasks) + others + 1 < this.#model.machine.sched.cpus.length;
		if (!takesPart || !room) return [false];
		const { mode, __state, held } = task.fields;
		const asleep = __state !== TASK_RUNNING || held;
		return mode === "host" || asleep ? [false] : [false, true];
	}

	// ---- verdicts ----

	#judge(from: KernelState, before: readonly TaskState[], outcome: Outcome, after: readonly TaskState[]): Broken[] {
		const broken: Broken[] = [];
		const { to, changes } = outcome;
		const { slots } = this.graph.world;
		const sameViews = from.viewsId === to.viewsId && from.before === to.before && from.inTransition === to.inTransition;
		for (let slot = 0; slot < after.length; slot++) {
			if (sameViews && !changes.some(([changed]) => changed === slot)) continue;
			const found = this.#judgeTask(from, to, slots[slot]!, before[slot]!, after[slot]!);
			if (found !== undefined) broken.push(found);
		}
		if (outcome.label === "klp_complete_transition: done") {
			const lost = judgeCompletion(this.#model.functions, to.views[0]!, to.promised);
			if (lost !== undefined) broken.push(lost);
		}
		if (from.executableId !== to.executableId) broken.push(...this.#freed(to, after));
		return broken;
	}

	#judgeTask(from: KernelState, to: KernelState, name: string, before: TaskState, after: TaskState): Broken | undefined {
		if (!before.alive || !after.alive) return undefined;
		const [was, is] = [before.fields.patch_state as number, after.fields.patch_state as number];
		const [wasView, view] = [from.views[was + 1]!, to.views[is + 1]!];
		const { entries, chosen } = after;
		const step = judgeStep(
			this.#model.functions,
			name,
			{ view: wasView, patch_state: was },
			{ view, patch_state: is, entries, chosen },
		);
		if (step !== undefined && this.#options.invariants.has(step.invariant)) return step;
		if (to.inTransition === undefined || to.before === undefined || to.after === undefined) return undefined;
		const tuple = judgeTuple(name, view, to.before, to.after);
		return tuple !== undefined && this.#options.invariants.has(tuple.invariant) ? tuple : undefined;
	}

	#freed(to: KernelState, tasks: readonly TaskState[]): Broken[] {
		return tasks.flatMap((task, slot): Broken[] => {
			const gone = (task.entries ?? []).find((entry) => !isExecutable(to, entry));
			const name = this.graph.world.slots[slot]!;
			if (gone === undefined) return [];
			return [{ invariant: "freed-text", task: name, message: `${name} will return to text that has just been unmapped` }];
		});
	}

	/** A state is there; the first time it is remembered how. Nobody goes on from one where something is broken. */
	#reach(kernel: KernelState, tasks: readonly TaskState[], broken: readonly Broken[], move: () => Move): void {
		const counted = broken.filter(({ invariant }) => this.#options.invariants.has(invariant));
		if (counted.length > 0) {
			for (const one of counted) {
				if (this.#violations.has(one.invariant)) continue;
				this.#violations.set(one.invariant, { broken: one, moves: [...this.movesTo(this.#current), move()] });
			}
			return;
		}
		if (!this.#add(kernel, tasks)) return;
		this.#parents.push(this.#current);
		this.#moves.push(move());
	}

	/** The moves that lead to a state. */
	movesTo(state: number): Move[] {
		const moves: Move[] = [];
		for (let at = state; this.#parents[at]! >= 0; at = this.#parents[at]!) moves.push(this.#moves[at]!);
		return moves.reverse();
	}
}

function canMove({ alive, fields }: TaskState): boolean {
	if (!alive || fields.held || fields.mode === "host") return false;
	return fields.__state === TASK_RUNNING || fields.wakeAt !== Number.POSITIVE_INFINITY;
}
