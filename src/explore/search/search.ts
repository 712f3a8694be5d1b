import { groupBy, Hash, KlpemuError, Random } from "../../base/index.js";
import type { Broken, Invariant } from "../../consistency/index.js";
import { patchStateName } from "../../linux/klp/index.js";
import type { Model } from "../model.js";
import type { Move } from "../schedule.js";
import { type Row, tasksOf } from "./columns.js";
import type { Common } from "./common.js";
import { OPEN, WHOLE_ROW } from "./follower.js";
import { BATCH, Followers } from "./followers.js";
import type { Helpers, Need } from "./helpers.js";
import { type Journal, type LevelState, misfit, type SearchLog } from "./journal.js";
import type { KernelState } from "./kernel-state.js";
import { MOVE_KINDS, type MovesKind } from "./known-moves.js";
import type { Memo } from "./memo.js";
import { isSame, Moves } from "./moves.js";
import { Numbers } from "./numbers.js";
import { Reduction } from "./reduction.js";
import type { FoundViolation, SearchResult, Violation } from "./result.js";
import { StateTable } from "./state-table.js";
import { type Endless, endsOfDeadlock, endsOfStuck, tellDeadlock, tellStuck } from "./stuck.js";

export interface SearchProgress {
	/** Moves from the first state to those that are being expanded. */
	readonly depth: number;
	/** States that are known and not expanded yet. */
	readonly frontier: number;
}

export interface SearchOptions {
	/** Stops after this number of states. */
	readonly budget: number;
	/** Called from time to time; true stops the search. */
	readonly interrupted?: (() => boolean) | undefined;
	/** Awaited from time to time, so that the caller can do other work. */
	readonly pause?: (() => Promise<void>) | undefined;
	/** Called from time to time with the number of states. */
	readonly onProgress?: ((states: number, at: SearchProgress) => void) | undefined;
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
	/** For each violation: from which move on it was inevitable, and which share of what can follow breaks it before that. */
	readonly outlook?: boolean | undefined;
	/** Called for each move that the search makes, for a graph of the states. It may throw to end the search. */
	readonly onMove?: ((move: SearchMove) => void) | undefined;
	/** Notes what is needed for a checkpoint, and has the part of the search that an earlier process has made. */
	readonly journal?: Journal | undefined;
	/** They execute what the search needs next, in other threads. */
	readonly helpers?: Helpers | undefined;
	/** What searches under other designs of the same scenario have executed, and what this one executes. Not together with `helpers`. */
	readonly common?: Common | undefined;
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

/** The same numbers in a random order; each order is as likely as the others. */
function shuffled(numbers: number[], random: Random): number[] {
	for (let i = numbers.length - 1; i > 0; i--) {
		const other = random.below(i + 1);
		[numbers[i], numbers[other]] = [numbers[other]!, numbers[i]!];
	}
	return numbers;
}

function numbersFrom(start: number, end: number): number[] {
	return Array.from({ length: end - start }, (_, i) => start + i);
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
	readonly #table: StateTable;
	/** The first state of each level, if the search is breadth first. */
	readonly #levels: number[] = [];
	/** By state, the state from which it was reached, unless the levels say it. */
	readonly #parents: Numbers | undefined;
	readonly #violations = new Map<Invariant, Violation>();
	#transitions = 0;
	/** The state that is being expanded, as its number and as a whole. */
	#current = 0;
	readonly #whole: Row;
	/** For a state that another thread has found. */
	readonly #found: Row;
	/** Like no state. */
	readonly #none: Row;
	readonly #reached = (next: Row, broken: readonly Broken[]) => this.#reach(next, broken);
	/** Number of expanded states; each counts twice. */
	#looked = 0;
	#interrupted = false;
	/** True if there are states from which the search does not continue. */
	#lost = false;
	#dealt = false;
	/** By state, the number of moves that lead away from it; for shards. */
	readonly #degrees = new Numbers();
	readonly #log: SearchLog | undefined;
	readonly #followers: Followers;
	/** When the present level began. */
	#level: LevelState | undefined = undefined;

	/** `active`: names of the tasks that make moves. */
	constructor(model: Model, memo: Memo, active: readonly string[], options: SearchOptions) {
		this.#memo = memo;
		this.#options = options;
		const { world } = memo;
		this.#reduction = new Reduction(model, world, active, options.reduction);
		// Who wants to know each move wants its description, and the parts of a search have their own order.
		const ports = options.onMove === undefined && options.shard === undefined ? (options.helpers?.ports ?? []) : [];
		this.#table = new StateTable(world.names.length + 1, ports.length > 0);
		this.#whole = this.#table.whole();
		this.#found = this.#table.whole();
		this.#none = this.#table.whole();
		this.#log = options.journal?.begin(this.#table.width, this);
		this.#moves = new Moves(memo, this.#reduction, this.#table.size, { log: this.#log, shared: ports.length > 0 });
		this.#followers = new Followers(ports, this.#table, this.#moves.known);
		options.helpers?.beginSearch(active, options.reduction);
		this.#parents = options.order === undefined && options.shard === undefined ? undefined : new Numbers();
	}

	/** Throws `EXPLORE_CHECKPOINT` if it goes on from a checkpoint that does not fit. */
	async run(): Promise<SearchResult> {
		try {
			return await this.#goOnAndRun();
		} catch (cause) {
			// Numbers that a search has not written can break anything. If it was not they, the same comes again without the checkpoint.
			if (this.#log?.past === undefined || cause instanceof KlpemuError) throw cause;
			throw misfit(cause);
		}
	}

	async #goOnAndRun(): Promise<SearchResult> {
		this.#log?.replay(
			(kind, row) => this.#moves.learn(kind, row),
			() => this.#memo.checkContexts(),
		);
		const result = this.#log?.result ?? (await this.#run());
		// A search from which a checkpoint lets another process go on has not ended.
		const isOver = result.result !== "bounded" && !this.#interrupted;
		if (this.#log !== undefined && (isOver || this.#isScout)) this.#log.result = result;
		return result;
	}

	/** It is bounded on purpose. */
	get #isScout(): boolean {
		return this.#options.order !== undefined && !this.#interrupted;
	}

	async #run(): Promise<SearchResult> {
		const { options, table } = { options: this.#options, table: this.#table };
		this.#parents?.push(-1);
		if (!this.#goOn()) {
			const first = table.whole();
			first.set(this.#memo.first);
			table.add(first, this.#whole);
		}
		const { bounded, depth } = await (options.order === undefined
			? this.#breadthFirst()
			: this.#depthFirst(new Random(options.order)));
		// Without all ways out of a loop, it is not known what must happen.
		const { loop } = this.#memo.world.states;
		if (!bounded && loop === undefined && !this.#lost && !this.#dealt && (options.all || this.#violations.size === 0))
			await this.#findEndless();
		const violations = [...this.#violations.values()].map((one) => this.#told(one));
		return {
			result: this.#violations.size > 0 ? "violated" : bounded || loop !== undefined ? "bounded" : "complete",
			violations,
			states: table.length,
			transitions: this.#transitions,
			depth,
			bytes: table.bytes + (this.#parents?.bytes ?? 0),
			visited: options.shard === undefined ? undefined : this.#visited(),
		};
	}

	#told({ broken, from, last }: Violation): FoundViolation {
		return { broken, moves: [...this.#movesTo(from), ...last] };
	}

	/** True if a checkpoint says where. */
	#goOn(): boolean {
		const state = this.#log?.restore(this.#table);
		if (state === undefined) return false;
		this.#level = state;
		this.#levels.push(...state.levels.slice(0, -1));
		this.#looked = 2 * state.levels.at(-1)!;
		this.#transitions = state.transitions;
		this.#lost = state.lost;
		for (const violation of state.violations) this.#violations.set(violation.broken.invariant, violation);
		return true;
	}

	/** Where another process would go on. */
	get level(): LevelState | undefined {
		return this.#level;
	}

	/** The saved numbers of the states of a level and those before it. */
	savedStates({ pairs }: LevelState): Int32Array[] {
		return this.#table.saved(pairs);
	}

	#beginLevel(start: number): void {
		this.#levels.push(start);
		if (this.#log === undefined) return;
		const violations = [...this.#violations.values()];
		const pairs = this.#table.lengths;
		const levels = [...this.#levels];
		this.#level = { levels, transitions: this.#transitions, violations, lost: this.#lost, pairs };
	}

	async #breadthFirst(): Promise<{ bounded: boolean; depth: number }> {
		let bounded = false;
		for (let start = this.#level?.levels.at(-1) ?? 0; start < this.#table.length && !bounded; ) {
			if (this.#isOver()) break;
			const end = this.#table.length;
			this.#beginLevel(start);
			bounded = !(await this.#expandLevel(start, end));
			if (!bounded) this.#log?.levelEnd();
			this.#memo.checkContexts();
			start = end;
		}
		return { bounded, depth: this.#levels.length - 1 };
	}

	/** See {@link SearchOptions.order}. `depth`: moves on the longest way that was followed. */
	async #depthFirst(random: Random): Promise<{ bounded: boolean; depth: number }> {
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
			const before = this.#table.length;
			this.#expand("ofTasks", state);
			this.#expand("ofActors", state);
			const next = numbersFrom(before, this.#table.length);
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
		const { world } = this.#memo;
		// Of a word that tasks write each value must be followed.
		const again = world.shared.sourcesGrown || (world.grown && this.#table.length >= PASS);
		return again || (this.#violations.size > 0 && !this.#options.all);
	}

	/** True if the search was interrupted, or has as many states as it may. */
	#isStopped(): boolean {
		return this.#interrupted || this.#table.length >= this.#options.budget;
	}

	/** Expands all states at one distance from the first. False if the search was stopped. */
	async #expandLevel(start: number, end: number): Promise<boolean> {
		const groups = this.#byKernel(this.#mine(start, end));
		const { helpers } = this.#options;
		if (this.#followers.areReady && end - start >= helpers!.level) return this.#expandShared(groups, end - start);
		helpers?.beginLevel(this.#needs(groups));
		return this.#expandGroups(groups);
	}

	/** The same as {@link #expandGroups}, in the same order: other threads follow the moves that are known. */
	async #expandShared(groups: readonly (readonly number[])[], states: number): Promise<boolean> {
		const visits = new Int32Array(2 * states);
		let count = 0;
		for (const group of groups) {
			for (let kind = 0; kind < MOVE_KINDS.length; kind++) {
				for (const state of group) visits[count++] = 2 * state + kind;
			}
		}
		for (let begin = 0; begin < count; begin += BATCH) {
			if (!(await this.#expandBatch(visits.subarray(begin, Math.min(begin + BATCH, count))))) return false;
		}
		return true;
	}

	async #expandBatch(visits: Int32Array): Promise<boolean> {
		const helpers = this.#options.helpers!;
		const { found, places } = await this.#followers.visit(visits);
		const isOpen = (i: number) => found[places[i]!] === OPEN;
		helpers.beginLevel(this.#needsIn(visits, isOpen));
		for (let i = 0; i < visits.length; i++) {
			if ((this.#looked++ & 2047) === 0) await this.#pause();
			if (this.#isStopped()) return false;
			if (isOpen(i)) {
				const [kind, state] = [MOVE_KINDS[visits[i]! & 1]!, visits[i]! >> 1];
				if (kind === "ofActors") await helpers.arriveAt(this.#kernelAt(state));
				this.#expand(kind, state);
			} else this.#addFound(found, places[i]!);
		}
		return true;
	}

	/** The same as {@link #needs}, of visits that others have left open. */
	#needsIn(visits: Int32Array, isOpen: (index: number) => boolean): Need[] {
		const needs: { readonly kernel: KernelState; readonly rows: Row[] }[] = [];
		for (let i = 0; i < visits.length; i++) {
			if (!isOpen(i) || MOVE_KINDS[visits[i]! & 1] !== "ofActors") continue;
			const row = this.#row(visits[i]! >> 1);
			if (!this.#moves.isUnknown("ofActors", row)) continue;
			const kernel = this.#memo.states[row[0]!]!;
			if (needs.at(-1)?.kernel !== kernel) needs.push({ kernel, rows: [] });
			needs.at(-1)!.rows.push(row);
		}
		return needs;
	}

	/** Adds the states that a visit has found. */
	#addFound(found: Int32Array, begin: number): void {
		const { width } = this.#table;
		this.#transitions += found[begin]!;
		let at = begin + 2;
		for (let left = found[begin + 1]!; left > 0; left--) {
			if (found[at] === WHOLE_ROW) {
				for (let i = 0; i < width; i++) this.#found[i] = found[at + 1 + i]!;
				this.#table.add(this.#found, this.#none);
				at += 1 + width;
			} else {
				this.#table.addHalves(found[at]!, found[at + 1]!);
				at += 2;
			}
		}
	}

	/** What has to be executed for these states. */
	#needs(groups: readonly (readonly number[])[]): Need[] {
		const needs: Need[] = [];
		for (const group of groups) {
			const rows = group.map((state) => this.#row(state)).filter((row) => this.#moves.isUnknown("ofActors", row));
			if (rows.length > 0) needs.push({ kernel: this.#kernelAt(group[0]!), rows });
		}
		return needs;
	}

	async #expandGroups(groups: readonly (readonly number[])[]): Promise<boolean> {
		for (const group of groups) {
			for (const kind of MOVE_KINDS) {
				if (kind === "ofActors") await this.#options.helpers?.arriveAt(this.#kernelAt(group[0]!));
				for (const state of group) {
					if ((this.#looked++ & 2047) === 0) await this.#pause();
					if (this.#isStopped()) return false;
					this.#expand(kind, state);
				}
			}
		}
		return true;
	}

	#expand(kind: MovesKind, state: number): void {
		const whole = this.#whole;
		this.#current = state;
		this.#table.read(state, whole);
		// Who wants to know each move wants its description.
		if (this.#options.onMove === undefined) this.#moves.visit(kind, whole, this.#reached);
		else this.#moves.visitSlowly(kind, whole, this.#reached);
	}

	/**
	 * A level in the order in which it is expanded: states with the same kernel state come one after the other, and those with the
	 * same text, so that the world rarely has to change its state. For the same reason, all moves of a group's tasks come before
	 * those of actors.
	 */
	#byKernel(states: Iterable<number>): number[][] {
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
		const states = numbersFrom(start, end);
		const { shard } = this.#options;
		// The first level that is wide enough is divided. From there on, each process expands the states that it
		// reaches.
		if (shard === undefined || this.#dealt || states.length < PER_SHARD * shard.count) return states;
		this.#dealt = true;
		return states.filter((state) => (state - start) % shard.count === shard.index);
	}

	async #pause(): Promise<void> {
		const states = this.#table.length;
		const frontier = states - (this.#looked >> 1);
		this.#options.onProgress?.(states, { depth: Math.max(this.#levels.length - 1, 0), frontier });
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
		const whole = this.#table.whole();
		this.#table.read(state, whole);
		return whole.subarray(0, this.#table.width);
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
	#reach(next: Row, broken: readonly Broken[]): false {
		this.#transitions++;
		if (this.#options.shard !== undefined) this.#degrees.add(this.#current, 1);
		if (broken.length > 0) {
			this.#note(broken);
			if (!this.#goesOn(broken)) {
				this.#tellMove(undefined, broken);
				return false;
			}
		}
		const known = this.#table.add(next, this.#whole);
		if (this.#options.onMove !== undefined) this.#tellMove(known < 0 ? this.#table.length - 1 : known, broken);
		if (known < 0) this.#parents?.push(this.#current);
		return false;
	}

	#note(broken: readonly Broken[]): void {
		for (const one of broken) {
			if (this.#violations.has(one.invariant) || !this.#options.invariants.has(one.invariant)) continue;
			this.#violations.set(one.invariant, { broken: one, from: this.#current, last: [this.#moves.describe()] });
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
		const byState = groupBy(judged.keys(), (slot) => {
			const task = tasks[slot]!;
			return task.alive ? patchStateName(task.patch_state) : "dead";
		});
		return [
			...(kernel.inTransition === undefined ? [] : [`transition of ${kernel.inTransition}`]),
			...model.functions.map(({ name }, i) => `${name}: [${(kernel.stacks[i] ?? []).join(", ")}]`),
			...[...byState].map(([key, slots]) => `${key}: ${slots.map((slot) => judged[slot]).join(", ")}`),
		];
	}

	/** The moves that lead to a state, along its parents. */
	#movesTo(state: number): Move[] {
		const moves: Move[] = [];
		let level = this.#levels.findLastIndex((first) => first <= state);
		for (let at = state; at > 0; level--) {
			const parent = this.#parents?.at(at) ?? this.#parentOf(at, level - 1);
			moves.push(this.#moves.between(this.#row(parent), this.#row(at)));
			at = parent;
		}
		return moves.reverse();
	}

	/** The state from which another one was first reached, found by expanding its level again. */
	#parentOf(state: number, level: number): number {
		const [start, end] = [this.#levels[level]!, this.#levels[level + 1]!];
		const wanted = this.#row(state);
		let isFound = false;
		const compare = (next: Row) => {
			isFound = isSame(next, wanted, this.#table.width);
			return isFound;
		};
		for (const group of this.#byKernel(numbersFrom(start, end))) {
			for (const kind of MOVE_KINDS) {
				for (const parent of group) {
					this.#table.read(parent, this.#whole);
					this.#moves.visit(kind, this.#whole, compare);
					if (isFound) return parent;
				}
			}
		}
		throw new Error("internal error: a state cannot be reached from the level before it any more");
	}

	/** A move of this state leads to a marked one. */
	#leadsTo(state: number, marked: Uint8Array): boolean {
		let isFound = false;
		this.#table.read(state, this.#whole);
		const look = (next: Row, broken: readonly Broken[]) => {
			if (broken.length === 0 || this.#goesOn(broken)) isFound = marked[this.#table.find(next, this.#whole)] === 1;
			return isFound;
		};
		// Those of actors lead to the end sooner.
		this.#moves.visit("ofActors", this.#whole, look);
		if (!isFound) this.#moves.visit("ofTasks", this.#whole, look);
		return isFound;
	}

	/** All states must be there. */
	async #findEndless(): Promise<void> {
		const wanted = (invariant: Invariant) => this.#options.invariants.has(invariant);
		const { states: kernels, world } = this.#memo;
		const table = this.#table;
		const tasks = world.states.all.length;
		const slow = (state: number, marked: Uint8Array) => this.#leadsTo(state, marked);
		let deadlock: Endless | undefined;
		if (wanted("deadlock")) {
			const doomed = await this.#followers.withoutEnd(endsOfDeadlock(kernels, tasks), slow);
			deadlock = tellDeadlock(doomed, table, kernels, world.actors);
		}
		if (deadlock !== undefined) this.#noteEndless("deadlock", deadlock);
		if (deadlock !== undefined || !wanted("stuck")) return;
		const doomed = await this.#followers.withoutEnd(endsOfStuck(kernels, tasks, this.#reduction.bits), slow);
		const stuck = tellStuck(doomed, table, kernels);
		if (stuck !== undefined) this.#noteEndless("stuck", stuck);
	}

	#noteEndless(invariant: Invariant, { state, message }: Endless): void {
		this.#violations.set(invariant, { broken: { invariant, message }, from: state, last: [] });
	}
}
