import { Hash } from "../base/index.js";
import { type Broken, type Invariant, judgeStep, judgeTask } from "../consistency/index.js";
import { TASK_INTERRUPTIBLE, TASK_RUNNING } from "../linux/sched/index.js";
import type { KernelGraph, KernelState, Outcome } from "./kernel-graph.js";
import type { Model } from "./model.js";
import type { Move } from "./schedule.js";
import { Numbers, Table } from "./table.js";
import type { TaskState } from "./world/index.js";

export interface SearchOptions {
	/** Stop after so many states. */
	readonly budget: number;
	/** Asked from time to time: shall it stop? */
	readonly interrupted?: (() => boolean) | undefined;
	/** Awaited from time to time, so that whoever called can do something else. */
	readonly pause?: (() => Promise<void>) | undefined;
	/** Told from time to time how many states there are. */
	readonly onProgress?: ((states: number) => void) | undefined;
	/** Only these invariants count. */
	readonly invariants: ReadonlySet<Invariant>;
	/** Find the shortest schedule for each invariant that can be broken, instead of stopping at the first. */
	readonly all: boolean;
	/** Leave out what cannot make a difference (docs/exploring.md). Off, the same verdicts take longer. */
	readonly reduction: boolean;
	/** Of several processes that share the work, this one's part: see {@link Shard}. */
	readonly shard?: Shard | undefined;
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
	/** Of what is kept for each state. */
	readonly bytes: number;
	/** Of a shard: what it visited, and how many moves led away from there. */
	readonly visited: ReadonlyMap<string, number> | undefined;
}

/** States per process when the work is dealt out. */
const PER_SHARD = 8;
/** Steps of one actor without a point that matters: more are a mistake. */
const CHAIN = 100_000;

/** An actor's way from one point that matters to the next. */
interface Chain {
	readonly at: KernelState;
	readonly tasks: readonly TaskState[];
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
	readonly #cpus: number;
	/** A task that runs in the kernel stays on its CPU. */
	readonly #nonpreemptible: boolean;
	readonly #table: Table;
	/** By state, the one that it was reached from. By which move, is worked out again when somebody asks. */
	readonly #parents = new Numbers();
	/** From and to, in turn: for `stuck`. */
	readonly #edges: Numbers | undefined;
	readonly #violations = new Map<Invariant, FoundViolation>();
	#transitions = 0;
	/** The state that is being looked at. */
	#current = 0;
	/** How many have been looked at, each twice. */
	#looked = 0;
	#interrupted = false;
	/** There are states that nobody goes on from. */
	#lost = false;
	#dealt = false;
	/** By state, how many moves lead away from it; for shards. */
	readonly #degrees = new Numbers();
	/** Looking for the move that leads to this row. */
	#wanted: { readonly row: readonly number[]; found: Move | undefined } | undefined;

	/** `active`: names of the tasks that make moves. */
	constructor(model: Model, graph: KernelGraph, active: readonly string[], options: SearchOptions) {
		this.#model = model;
		this.graph = graph;
		this.#options = options;
		const { world } = graph;
		this.#active = active.map((name) => world.slot(name));
		this.#cpus = model.machine.sched.cpus.length;
		this.#nonpreemptible = model.machine.sched.preemption === "none";
		this.#other = this.#cpus > 1 ? world.names.length - 1 : -1;
		this.#table = new Table(world.names.length + 1);
		this.#edges = options.invariants.has("stuck") ? new Numbers() : undefined;
	}

	async run(): Promise<SearchResult> {
		const { options, table } = { options: this.#options, table: this.#table };
		this.#parents.push(-1);
		table.add(rowOf(this.graph.first, this.graph.firstTasks));
		let depth = 0;
		let bounded = false;
		for (let start = 0; start < table.length && !bounded; depth++) {
			if (this.#violations.size > 0 && !options.all) break;
			const end = table.length;
			bounded = !(await this.#expandLevel(start, end));
			this.graph.checkContexts();
			start = end;
		}
		if (!bounded && !this.#lost && !this.#dealt && (options.all || this.#violations.size === 0)) this.#findStuck();
		const violations = [...this.#violations.values()];
		return {
			result: violations.length > 0 ? "violated" : bounded ? "bounded" : "complete",
			violations,
			states: table.length,
			transitions: this.#transitions,
			depth: depth - 1,
			bytes: table.bytes + this.#parents.bytes + (this.#edges?.bytes ?? 0),
			visited: options.shard === undefined ? undefined : this.#visited(),
		};
	}

	/**
	 * All states at one distance from the first. Those with the same kernel state one after the other, and the moves of tasks before
	 * those of actors, for that is when the world need not be brought elsewhere. False when it was stopped.
	 */
	async #expandLevel(start: number, end: number): Promise<boolean> {
		const kernelOf = (state: number) => this.#table.value(state, 0);
		const states = this.#mine(start, end);
		const text = (state: number) => this.graph.states[kernelOf(state)]!.text;
		states.sort((a, b) => text(a) - text(b) || kernelOf(a) - kernelOf(b) || a - b);
		for (let from = 0, to = 0; from < states.length; from = to) {
			while (to < states.length && kernelOf(states[to]!) === kernelOf(states[from]!)) to++;
			const group = states.slice(from, to);
			for (const expand of [this.#expandTasks, this.#expandActors]) {
				for (this.#current of group) {
					if ((this.#looked++ & 2047) === 0) await this.#pause();
					if (this.#interrupted || this.#table.length >= this.#options.budget) return false;
					expand.call(this, ...this.#stateAt(this.#current));
				}
			}
		}
		return true;
	}

	/** The states of a level that this process goes on from. */
	#mine(start: number, end: number): number[] {
		const states = Array.from({ length: end - start }, (_, i) => start + i);
		const { shard } = this.#options;
		// The first level that is wide enough is dealt out. From there on, what a process reaches is its own.
		if (shard === undefined || this.#dealt || states.length < PER_SHARD * shard.count) return states;
		this.#dealt = true;
		return states.filter((state) => (state - start) % shard.count === shard.index);
	}

	async #pause(): Promise<void> {
		this.#options.onProgress?.(this.#table.length);
		await this.#options.pause?.();
		this.#interrupted = this.#options.interrupted?.() ?? false;
	}

	/** What is the same for a state in every process, and how many moves lead away from it. */
	#visited(): Map<string, number> {
		const visited = new Map<string, number>();
		for (let state = 0; state < this.#table.length; state++) {
			const [kernel, tasks] = this.#stateAt(state);
			const hash = new Hash();
			hash.add(kernel.key);
			for (const task of tasks) hash.add(task.key);
			visited.set(hash.digest(), this.#degrees.at(state));
		}
		return visited;
	}

	#stateAt(state: number): [KernelState, TaskState[]] {
		const row = new Int32Array(this.#table.width);
		this.#table.read(state, row);
		const tasks: TaskState[] = [];
		for (let i = 1; i < row.length; i++) tasks.push(this.graph.world.states.all[row[i]!]!);
		return [this.graph.states[row[0]!]!, tasks];
	}

	// ---- moves ----

	#expandActors(kernel: KernelState, tasks: readonly TaskState[]): void {
		const used = this.#used(kernel, tasks);
		for (let actor = 0; actor < kernel.next.length; actor++) {
			if (kernel.next[actor] === undefined || !this.#isFree(actor, tasks)) continue;
			if (!(this.#nonpreemptible && kernel.onCpu[actor]) && used + 1 > this.#cpus) continue;
			this.#expandActor(kernel, tasks, actor, false);
			const worker = actor === kernel.next.length - 1;
			if (worker && kernel.retries && !kernel.onCpu[actor] && this.#somebodySleeps(tasks)) {
				this.#expandActor(kernel, tasks, actor, true);
			}
		}
	}

	/** What a task does by itself it does in user mode. */
	#isFree(actor: number, tasks: readonly TaskState[]): boolean {
		const of = this.#model.admins[actor]?.of;
		if (of === undefined) return true;
		const slot = this.graph.world.slot(of);
		const { alive, fields } = tasks[slot]!;
		return (
			this.#active.includes(slot) && alive && fields.mode === "user" && fields.__state === TASK_RUNNING && !fields.held
		);
	}

	#expandTasks(kernel: KernelState, tasks: readonly TaskState[]): void {
		const used = this.#used(kernel, tasks);
		for (const slot of this.#active) {
			const task = tasks[slot]!;
			if (!canMove(task)) continue;
			if (!this.#inKernel(task) && used + 1 > this.#cpus) continue;
			this.#expandTask(kernel, tasks, slot);
		}
	}

	/** CPUs that are taken, and cannot be taken away. */
	#used(kernel: KernelState, tasks: readonly TaskState[]): number {
		return this.#countInKernel(tasks) + (this.#nonpreemptible ? kernel.actorsOnCpu : 0);
	}

	#countInKernel(tasks: readonly TaskState[]): number {
		let count = 0;
		for (const slot of this.#active) if (this.#inKernel(tasks[slot]!)) count++;
		return count;
	}

	/** It is on a CPU and cannot be taken off. */
	#inKernel({ alive, running, fields }: TaskState): boolean {
		if (!alive) return false;
		return fields.trace_recursion !== 0 || fields.preempt_count !== 0 || (running && this.#nonpreemptible);
	}

	/** Signals would change something. */
	#somebodySleeps(tasks: readonly TaskState[]): boolean {
		return this.#active.some((slot) => isAsleep(tasks[slot]!) && tasks[slot]!.fields.__state === TASK_INTERRUPTIBLE);
	}

	#expandTask(kernel: KernelState, tasks: readonly TaskState[], slot: number): void {
		const before = tasks[slot]!;
		const { state, label, broken } = this.graph.moveTask(kernel, slot, before);
		const after = tasks.slice();
		after[slot] = state;
		const name = this.graph.world.names[slot]!;
		const switched = state.fields.patch_state !== before.fields.patch_state;
		const step = { functions: this.#model.functions, from: kernel, to: kernel };
		const judged = broken.length > 0 || !switched ? broken : judgeTask(step, name, before, state);
		const move = () => ({ who: name, steps: 1, busy: [], late: false, label });
		this.#reach(kernel, after, judged, move);
	}

	#expandActor(kernel: KernelState, tasks: readonly TaskState[], actor: number, late: boolean): void {
		const open: Chain[] = [{ at: kernel, tasks, steps: 0, busy: NONE, label: "", broken: NONE }];
		let turns = 0;
		for (let chain = open.pop(); chain !== undefined; chain = open.pop()) {
			if (turns++ > CHAIN)
				throw new Error(`${this.graph.world.actors[actor]!.name} never comes to a point that matters`);
			const { at, tasks: here, steps } = chain;
			const mayBeBusy = (slot: number) => this.#mayBeBusy(at, here, slot, actor);
			for (const outcome of this.graph.step(at, actor, late && steps === 0, here, mayBeBusy)) {
				const more = this.#follow(chain, outcome);
				if (more.broken.length === 0 && this.#nobodyCares(at, actor, outcome)) open.push(more);
				else this.#arrive(actor, late, more);
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
			broken: broken.filter(({ invariant }) => this.#options.invariants.has(invariant)),
		};
	}

	#arrive(actor: number, late: boolean, chain: Chain): void {
		const { names, actors } = this.graph.world;
		this.#reach(chain.at, chain.tasks, chain.broken, () => ({
			who: actors[actor]!.name,
			steps: chain.steps,
			busy: chain.busy.flatMap(([step, ...busy]) => busy.map((slot) => ({ step: step!, task: names[slot]! }))),
			late,
			label: chain.label,
		}));
	}

	/** May everybody else wait for this actor's next point? The argument for each case is in docs/exploring.md. */
	#nobodyCares(at: KernelState, actor: number, outcome: Outcome): boolean {
		if (outcome.kind === "place") return true;
		if (!this.#options.reduction) return false;
		if (outcome.kind === "turn") return true;
		const alone = at.mutexHeld && outcome.to.mutexHeld && at.outOfTheWay.every((out, other) => out || other === actor);
		return alone && !outcome.touchesTasks && outcome.to.text === at.text && outcome.to.next[actor] !== undefined;
	}

	/** Whether a task can be on a CPU, or not, when `actor` looks. */
	#mayBeBusy(kernel: KernelState, tasks: readonly TaskState[], slot: number, actor: number): readonly boolean[] {
		const task = tasks[slot]!;
		if (this.#inKernel(task)) return BUSY;
		if (task.fields.mode === "host" || (slot !== this.#other && !this.#active.includes(slot))) return FREE;
		if (task.fields.__state !== TASK_RUNNING || task.fields.held) return FREE;
		const others = this.#nonpreemptible ? kernel.actorsOnCpu - (kernel.onCpu[actor] ? 1 : 0) : 0;
		return this.#countInKernel(tasks) + others + 1 < this.#cpus ? EITHER : FREE;
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
		return judgeStep(step, this.graph.world.judged, before, after, kind === "done");
	}

	/**
	 * After something is broken the search is over, unless it looks for every invariant. Nobody goes on from a state in which the
	 * kernel has read what was freed, or a task has died.
	 */
	#goesOn(broken: readonly Broken[]): boolean {
		const lost = broken.some(({ invariant }) => invariant === "use-after-free") || broken.some(({ died }) => died);
		if (lost) this.#lost = true;
		return this.#options.all && !lost;
	}

	/** A state is there; the first time, it is remembered. */
	#reach(kernel: KernelState, tasks: readonly TaskState[], broken: readonly Broken[], move: () => Move): void {
		const row = rowOf(kernel, tasks);
		if (this.#wanted !== undefined) {
			if (this.#wanted.found === undefined && row.every((value, i) => value === this.#wanted!.row[i])) {
				this.#wanted.found = move();
			}
			return;
		}
		this.#transitions++;
		if (this.#options.shard !== undefined) this.#degrees.add(this.#current, 1);
		for (const one of broken) {
			if (this.#violations.has(one.invariant) || !this.#options.invariants.has(one.invariant)) continue;
			const last = move();
			this.#violations.set(one.invariant, { broken: one, moves: [...this.#movesTo(this.#current), last] });
		}
		if (broken.length > 0 && !this.#goesOn(broken)) return;
		const known = this.#table.add(row);
		if (known < 0) this.#parents.push(this.#current);
		this.#edges?.push(this.#current);
		this.#edges?.push(known < 0 ? -known - 1 : known);
	}

	/** The moves that lead to a state: along its parents, each made once more to see which move it was. */
	#movesTo(state: number): Move[] {
		const moves: Move[] = [];
		for (let at = state; this.#parents.at(at) >= 0; at = this.#parents.at(at)) {
			this.#wanted = { row: rowOf(...this.#stateAt(at)), found: undefined };
			const parent = this.#stateAt(this.#parents.at(at));
			this.#expandTasks(...parent);
			this.#expandActors(...parent);
			const { found } = this.#wanted;
			this.#wanted = undefined;
			if (found === undefined) throw new Error("a state cannot be reached from its parent any more");
			moves.push(found);
		}
		return moves.reverse();
	}

	/**
	 * `stuck`: a state in a transition from which no schedule leads to its end, although no task sleeps that nobody will wake. All
	 * states must be there.
	 */
	#findStuck(): void {
		if (this.#edges === undefined) return;
		const ends = new Uint8Array(this.#table.length);
		for (let state = 0; state < ends.length; state++) {
			const [kernel] = this.#stateAt(state);
			if (kernel.inTransition === undefined) ends[state] = 1;
		}
		spreadBackwards(this.#edges, ends);
		for (let state = 0; state < ends.length; state++) {
			if (ends[state]) continue;
			const [kernel, tasks] = this.#stateAt(state);
			if (tasks.some(isAsleep)) continue;
			const message = `the transition of ${kernel.inTransition} can never end, although no task sleeps`;
			this.#violations.set("stuck", { broken: { invariant: "stuck", message }, moves: this.#movesTo(state) });
			return;
		}
	}
}

const NONE: readonly never[] = [];
const FREE: readonly boolean[] = [false];
const BUSY: readonly boolean[] = [true];
const EITHER: readonly boolean[] = [false, true];

function rowOf(kernel: KernelState, tasks: readonly TaskState[]): number[] {
	const row = [kernel.id];
	for (const task of tasks) row.push(task.id);
	return row;
}

function canMove({ alive, fields }: TaskState): boolean {
	if (!alive || fields.held || fields.mode === "host") return false;
	return fields.__state === TASK_RUNNING || fields.wakeAt !== Number.POSITIVE_INFINITY;
}

/** Until somebody wakes it. */
function isAsleep({ alive, fields }: TaskState): boolean {
	if (!alive || fields.mode === "host") return false;
	return fields.held === true || (fields.__state !== TASK_RUNNING && fields.wakeAt === Number.POSITIVE_INFINITY);
}

/** Marks all from which something marked can be reached. */
function spreadBackwards(edges: Numbers, marked: Uint8Array): void {
	const first = new Int32Array(marked.length).fill(-1);
	const next = new Int32Array(edges.length / 2);
	for (let edge = 0; edge < next.length; edge++) {
		const to = edges.at(2 * edge + 1);
		next[edge] = first[to]!;
		first[to] = edge;
	}
	const open = [...marked.keys()].filter((state) => marked[state]);
	for (let state = open.pop(); state !== undefined; state = open.pop()) {
		for (let edge = first[state]!; edge >= 0; edge = next[edge]!) {
			const from = edges.at(2 * edge);
			if (marked[from]) continue;
			marked[from] = 1;
			open.push(from);
		}
	}
}
