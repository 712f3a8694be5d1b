import { Hash, Random } from "../../base/index.js";
import type { Broken, Invariant } from "../../consistency/index.js";
import { patchStateName } from "../../linux/klp/index.js";
import type { Model } from "../model.js";
import { isEndless } from "../replay.js";
import type { Move } from "../schedule.js";
import { type Row, TASK, tasksOf } from "./columns.js";
import type { KernelState } from "./kernel-state.js";
import type { Memo } from "./memo.js";
import { Moves } from "./moves.js";
import { Reduction } from "./reduction.js";
import { type Edges, statesWithoutEnd } from "./stuck.js";
import { Numbers, Table } from "./table.js";

export interface SearchOptions {
	/** Stops after this number of states. */
	readonly budget: number;
	/** Called from time to time; true stops the search. */
	readonly interrupted?: (() => boolean) | undefined;
	/** Awaited from time to time, so that the caller can do other work. */
	readonly pause?: (() => Promise<void>) | undefined;
	/** Called from time to time with the number of states. */
	readonly onProgress?: ((states: number) => void) | undefined;
	/** Only these invariants count. */
	readonly invariants: ReadonlySet<Invariant>;
	/** Finds the shortest schedule for each invariant that can be broken, instead of stopping at the first. */
	readonly all: boolean;
	/**
	 * Leaves out moves that cannot make a difference (docs/exploring.md). Without it, the search gives the same
	 * verdicts and takes longer.
	 */
	readonly reduction: boolean;
	/**
	 * Another order of the search: depth first, and the moves from each state in a random order with this seed. A search that is too
	 * big to finish then sees another part of the states. The schedules that it finds are not the shortest.
	 */
	readonly order?: bigint | undefined;
	/** Called for each move that the search makes, for a graph of the states. It may throw to end the search. */
	readonly onMove?: ((move: SearchMove) => void) | undefined;
	/** This process's part of the work, if several processes share it: see {@link Shard}. */
	readonly shard?: Shard | undefined;
}

/** A move that the search has made. */
export interface SearchMove {
	/** Number of the state before it. */
	readonly from: number;
	/** Number of the state after it; undefined: the search does not go on from there. */
	readonly to: number | undefined;
	readonly move: Move;
	readonly broken: readonly Broken[];
	/** Says what is in a state: func_stacks, and the tasks by their patch_state. */
	describe(state: number): string[];
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
	/** Number of moves on the longest of the shortest ways to a state. */
	readonly depth: number;
	/** Bytes that are kept for each state. */
	readonly bytes: number;
	/** Of a shard: the visited states, and for each the number of moves that lead away from it. */
	readonly visited: ReadonlyMap<string, number> | undefined;
}

/** The same numbers in a random order; each order is as likely as the others. */
function shuffled(numbers: number[], random: Random): number[] {
	for (let i = numbers.length - 1; i > 0; i--) {
		const other = random.below(i + 1);
		[numbers[i], numbers[other]] = [numbers[other]!, numbers[i]!];
	}
	return numbers;
}

/** If shared memory or decisive data has been found, an exploration of more states than this does not go on, but begins again. */
const PASS = 5_000;
/** Number of states per process when the work is divided. */
const PER_SHARD = 8;
/**
 * Breadth first, so that the first schedule that is found for a violation is a shortest one. A state is the number of a kernel
 * state and those of all task states; the search itself only handles numbers.
 */
export class Search {
	readonly #memo: Memo;
	readonly #reduction: Reduction;
	readonly #moves: Moves;
	readonly #options: SearchOptions;
	readonly #table: Table;
	/** By state, the state from which it was reached. The move is computed again if a schedule needs it. */
	readonly #parents = new Numbers();
	/** For `stuck` and `deadlock`. */
	readonly #edges: Edges | undefined;
	readonly #violations = new Map<Invariant, FoundViolation>();
	#transitions = 0;
	/** The state that is being expanded. */
	#current = 0;
	/** Number of expanded states; each counts twice. */
	#looked = 0;
	#interrupted = false;
	/** True if there are states from which the search does not continue. */
	#lost = false;
	#dealt = false;
	/** By state, the number of moves that lead away from it; for shards. */
	readonly #degrees = new Numbers();

	/** `active`: names of the tasks that make moves. */
	constructor(model: Model, memo: Memo, active: readonly string[], options: SearchOptions) {
		this.#memo = memo;
		this.#options = options;
		const { world } = memo;
		this.#reduction = new Reduction(model, world, active, options.reduction);
		this.#moves = new Moves(memo, this.#reduction);
		this.#table = new Table(world.names.length + 1);
		const endless = [...options.invariants].some(isEndless);
		this.#edges = endless ? { parents: this.#parents, others: new Numbers() } : undefined;
	}

	async run(): Promise<SearchResult> {
		const { options, table } = { options: this.#options, table: this.#table };
		this.#parents.push(-1);
		table.add(this.#memo.first);
		const { bounded, depth } = await (options.order === undefined
			? this.#breadthFirst()
			: this.#depthFirst(new Random(options.order)));
		// Without all ways out of a loop, it is not known what must happen.
		const { loop } = this.#memo.world.states;
		if (!bounded && loop === undefined && !this.#lost && !this.#dealt && (options.all || this.#violations.size === 0))
			this.#findEndless();
		const violations = [...this.#violations.values()];
		return {
			result: violations.length > 0 ? "violated" : bounded || loop !== undefined ? "bounded" : "complete",
			violations,
			states: table.length,
			transitions: this.#transitions,
			depth,
			bytes: table.bytes + this.#parents.bytes + (this.#edges?.others.bytes ?? 0),
			visited: options.shard === undefined ? undefined : this.#visited(),
		};
	}

	async #breadthFirst(): Promise<{ bounded: boolean; depth: number }> {
		let depth = 0;
		let bounded = false;
		for (let start = 0; start < this.#table.length && !bounded; depth++) {
			if (this.#isOver()) break;
			const end = this.#table.length;
			bounded = !(await this.#expandLevel(start, end));
			this.#memo.checkContexts();
			start = end;
		}
		return { bounded, depth: depth - 1 };
	}

	/** See {@link SearchOptions.order}. `depth`: moves on the longest way that was followed. */
	async #depthFirst(random: Random): Promise<{ bounded: boolean; depth: number }> {
		const row = new Int32Array(this.#table.width);
		const reach = (next: Row, broken: readonly Broken[]) => this.#reach(next, broken);
		const depths = new Numbers();
		depths.push(0);
		let depth = 0;
		const open = [0];
		for (let state = open.pop(); state !== undefined && !this.#isOver(); state = open.pop()) {
			if ((this.#looked++ & 2047) === 0) await this.#pause();
			if (this.#isStopped()) {
				this.#memo.checkContexts();
				return { bounded: true, depth };
			}
			this.#current = state;
			this.#table.read(state, row);
			const before = this.#table.length;
			this.#moves.ofTasks(row, reach);
			this.#moves.ofActors(row, reach);
			const next = Array.from({ length: this.#table.length - before }, (_, i) => before + i);
			const distance = depths.at(state) + 1;
			for (const _ of next) depths.push(distance);
			if (next.length > 0) depth = Math.max(depth, distance);
			open.push(...shuffled(next, random));
		}
		this.#memo.checkContexts();
		return { bounded: false, depth };
	}

	/** True if nothing more is looked for, or if the exploration begins again. */
	#isOver(): boolean {
		const again = this.#memo.world.grown && this.#table.length >= PASS;
		return again || (this.#violations.size > 0 && !this.#options.all);
	}

	/** True if the search was interrupted, or has as many states as it may. */
	#isStopped(): boolean {
		return this.#interrupted || this.#table.length >= this.#options.budget;
	}

	/**
	 * Expands all states at one distance from the first. States with the same kernel state come one after the other,
	 * and the moves of tasks before those of actors, so that the world rarely has to change its state. False if the
	 * search was stopped.
	 */
	async #expandLevel(start: number, end: number): Promise<boolean> {
		const row = new Int32Array(this.#table.width);
		const reach = (next: Row, broken: readonly Broken[]) => this.#reach(next, broken);
		for (const group of this.#byKernel(this.#mine(start, end))) {
			for (const kind of ["ofTasks", "ofActors"] as const) {
				for (this.#current of group) {
					if ((this.#looked++ & 2047) === 0) await this.#pause();
					if (this.#isStopped()) return false;
					this.#table.read(this.#current, row);
					this.#moves[kind](row, reach);
				}
			}
		}
		return true;
	}

	/** States in groups that have the same kernel state; those with the same text one after the other. */
	#byKernel(states: readonly number[]): number[][] {
		const groups = new Map<number, number[]>();
		for (const state of states) {
			const kernel = this.#table.first(state);
			const group = groups.get(kernel);
			if (group === undefined) groups.set(kernel, [state]);
			else group.push(state);
		}
		const text = (kernel: number) => this.#memo.states[kernel]!.text;
		return [...groups].sort(([a], [b]) => text(a) - text(b) || a - b).map(([, group]) => group);
	}

	/** The states of a level that this process expands. */
	#mine(start: number, end: number): number[] {
		const states = Array.from({ length: end - start }, (_, i) => start + i);
		const { shard } = this.#options;
		// The first level that is wide enough is divided. From there on, each process expands the states that it
		// reaches.
		if (shard === undefined || this.#dealt || states.length < PER_SHARD * shard.count) return states;
		this.#dealt = true;
		return states.filter((state) => (state - start) % shard.count === shard.index);
	}

	async #pause(): Promise<void> {
		this.#options.onProgress?.(this.#table.length);
		await this.#options.pause?.();
		this.#interrupted = this.#options.interrupted?.() ?? false;
	}

	/** A key of each state that is equal in every process, and the number of moves that lead away from it. */
	#visited(): Map<string, number> {
		const visited = new Map<string, number>();
		for (let state = 0; state < this.#table.length; state++) {
			const hash = new Hash();
			hash.add(this.#kernelAt(state).key);
			for (const task of tasksOf(this.#memo.world.states, this.#row(state))) hash.add(task.key);
			visited.set(hash.digest(), this.#degrees.at(state));
		}
		return visited;
	}

	#row(state: number): Row {
		const row = new Int32Array(this.#table.width);
		this.#table.read(state, row);
		return row;
	}

	#kernelAt(state: number): KernelState {
		return this.#memo.states[this.#table.first(state)]!;
	}

	// ---- states ----

	/**
	 * After a violation the search ends, unless it looks for every invariant. The search does not continue from a state
	 * in which the kernel has read freed memory, or a task has died.
	 */
	#goesOn(broken: readonly Broken[]): boolean {
		const lost = broken.some(({ invariant }) => invariant === "use-after-free") || broken.some(({ died }) => died);
		if (lost) this.#lost = true;
		return this.#options.all && !lost;
	}

	/** Handles the next state of a move; the first time, the state is stored. */
	#reach(row: Row, broken: readonly Broken[]): void {
		this.#transitions++;
		if (this.#options.shard !== undefined) this.#degrees.add(this.#current, 1);
		for (const one of broken) {
			if (this.#violations.has(one.invariant) || !this.#options.invariants.has(one.invariant)) continue;
			const last = this.#moves.describe();
			this.#violations.set(one.invariant, { broken: one, moves: [...this.#movesTo(this.#current), last] });
		}
		if (broken.length > 0 && !this.#goesOn(broken)) {
			this.#tellMove(undefined, broken);
			return;
		}
		const known = this.#table.add(row);
		this.#tellMove(known < 0 ? this.#table.length - 1 : known, broken);
		if (known < 0) {
			this.#parents.push(this.#current);
		} else if (known !== this.#current && this.#edges !== undefined) {
			this.#edges.others.push(this.#current);
			this.#edges.others.push(known);
		}
	}

	#tellMove(to: number | undefined, broken: readonly Broken[]): void {
		const { onMove } = this.#options;
		if (onMove === undefined) return;
		const describe = (state: number) => this.#describe(state);
		onMove({ from: this.#current, to, move: this.#moves.describe(), broken, describe });
	}

	#describe(state: number): string[] {
		const kernel = this.#kernelAt(state);
		const { model, judged } = this.#memo.world;
		const tasks = tasksOf(this.#memo.world.states, this.#row(state));
		const byState = new Map<string, string[]>();
		for (const [slot, name] of judged.entries()) {
			const task = tasks[slot]!;
			const key = task.alive ? patchStateName(task.patch_state) : "dead";
			byState.set(key, [...(byState.get(key) ?? []), name]);
		}
		return [
			...(kernel.inTransition === undefined ? [] : [`transition of ${kernel.inTransition}`]),
			...model.functions.map(({ name }, i) => `${name}: [${(kernel.stacks[i] ?? []).join(", ")}]`),
			...[...byState].map(([key, names]) => `${key}: ${names.join(", ")}`),
		];
	}

	/**
	 * The moves that lead to a state, along its parents. Each move is found by making all moves of the parent once
	 * more.
	 */
	#movesTo(state: number): Move[] {
		const moves: Move[] = [];
		for (let at = state; this.#parents.at(at) >= 0; at = this.#parents.at(at)) {
			moves.push(this.#moveBetween(this.#parents.at(at), at));
		}
		return moves.reverse();
	}

	#moveBetween(from: number, to: number): Move {
		// The search may be visiting a move, with the moves of its own.
		const moves = new Moves(this.#memo, this.#reduction);
		const wanted = this.#row(to);
		const found: Move[] = [];
		moves.all(this.#row(from), (row) => {
			if (found.length === 0 && row.every((value, i) => value === wanted[i])) found.push(moves.describe());
		});
		if (found[0] === undefined) throw new Error("internal error: a state cannot be reached from its parent any more");
		return found[0];
	}

	#findEndless(): void {
		if (this.#options.invariants.has("deadlock")) this.#findDeadlock();
		if (this.#options.invariants.has("stuck") && !this.#violations.has("deadlock")) this.#findStuck();
	}

	/**
	 * `deadlock`: a state in which kernel code runs, and from which no schedule leads to the end of all kernel code that runs. If each
	 * actor could come to the end of its own, one after the other could. All states must be there.
	 */
	#findDeadlock(): void {
		if (this.#edges === undefined) return;
		const places = (state: number) => this.#kernelAt(state).inKernel;
		const isQuiet = (state: number) => places(state).every((place) => place === undefined);
		const ends = Uint8Array.from({ length: this.#table.length }, (_, state) => Number(isQuiet(state)));
		const doomed = [...statesWithoutEnd(this.#edges, ends)];
		const waits = (state: number) => places(state).findIndex((place) => place?.waits);
		// Where an actor waits already, it is easier to see why.
		const state = doomed.find((one) => waits(one) >= 0) ?? doomed[0];
		if (state === undefined) return;
		const actor = waits(state) >= 0 ? waits(state) : places(state).findIndex((place) => place !== undefined);
		const { name } = this.#memo.world.actors[actor]!;
		const { label } = places(state)[actor]!;
		const message =
			waits(state) >= 0 ? `${name} waits for ever: ${label}` : `${name} never comes to the end of ${label}`;
		this.#violations.set("deadlock", { broken: { invariant: "deadlock", message }, moves: this.#movesTo(state) });
	}

	/**
	 * `stuck`: a state in a transition from which no schedule leads to its end, nor to a state in which a task sleeps that has yet to
	 * switch: such a task delays a transition rightly. All states must be there.
	 */
	#findStuck(): void {
		if (this.#edges === undefined) return;
		const { bits } = this.#reduction;
		const rightly = TASK.asleep | TASK.pending;
		const isDelayed = (row: Row) => row.subarray(1).some((task) => (bits.at(task) & rightly) === rightly);
		const ends = Uint8Array.from({ length: this.#table.length }, (_, state) => {
			return Number(this.#kernelAt(state).inTransition === undefined || isDelayed(this.#row(state)));
		});
		for (const state of statesWithoutEnd(this.#edges, ends)) {
			const message = `the transition of ${this.#kernelAt(state).inTransition} can never end, although no task sleeps`;
			this.#violations.set("stuck", { broken: { invariant: "stuck", message }, moves: this.#movesTo(state) });
			return;
		}
	}
}
