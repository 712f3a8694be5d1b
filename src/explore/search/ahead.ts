import type { Model } from "../model.js";
import type { TaskState, World } from "../world/index.js";
import { contentOf, type SentStep, type StepSource } from "./executions.js";
import type { KernelState, Via } from "./kernel-state.js";
import { Reduction } from "./reduction.js";
import { type KnownAtBegin, knownAtBegin, StepMaker } from "./step-maker.js";
import { Walk } from "./walk.js";

/** See the constructor of {@link Ahead}. To make the machine takes as long as some 3,000 steps. */
const START = 15_000;

/**
 * Executes steps of actors for the search of this thread, on a second machine, in an order that suits the machine: behind a step that the
 * search asks for come those that follow, which it will ask for. They are kept until then ({@link Executions}), so that the search finds
 * everything in its own order.
 */
export class Ahead implements StepSource {
	readonly #another: () => Promise<Model>;
	readonly #after: number;
	#model: Model | undefined = undefined;
	#maker: StepMaker | undefined = undefined;
	#walk: Walk | undefined = undefined;
	#known: KnownAtBegin | undefined = undefined;
	#search: { readonly active: readonly string[]; readonly reduction: boolean } | undefined = undefined;
	/** By the number of the same state in the search. */
	#tasks: TaskState[] = [];

	/** `another`: makes a model of the same scenario. `after`: a search makes so many steps again before the machine is made. */
	constructor(another: () => Promise<Model>, after = START) {
		this.#another = another;
		this.#after = after;
	}

	/** An exploration begins in `world`. */
	begin(world: World): void {
		this.#known = knownAtBegin(world);
		this.#maker?.begin(this.#known);
		this.#tasks = [];
		this.#search = undefined;
		this.#walk = undefined;
	}

	/** A search of the exploration begins. `active`: names of the tasks that move. */
	beginSearch(active: readonly string[], reduction: boolean): void {
		this.#search = { active, reduction };
		if (this.#maker === undefined) return;
		const { memo } = this.#maker;
		this.#walk = new Walk(memo, new Reduction(memo.world.model, memo.world, active, reduction));
	}

	/** Makes the second machine, if it pays. `replayed`: how many steps the search has made again. */
	async start(replayed: number): Promise<void> {
		if (this.#maker !== undefined || replayed < this.#after) return;
		this.#model = await this.#another();
		this.#maker = new StepMaker(this.#model);
		this.#maker.begin(this.#known!);
		if (this.#search !== undefined) this.beginSearch(this.#search.active, this.#search.reduction);
	}

	/** Executes a step, and steps that follow. */
	make(via: Via): readonly SentStep[] {
		const [maker, walk] = [this.#maker, this.#walk];
		if (maker === undefined || walk === undefined || maker.hasEnded) return [];
		maker.try(() => {
			const ids = [this.#kernelOf(via.from).id, ...via.tasks.map((task) => this.#taskOf(task).id)];
			walk.from(Int32Array.from(ids), via.actor, via.late);
		});
		return maker.take();
	}

	/** From here on it executes nothing. */
	close(): void {
		this.#model?.machine.close();
		this.#maker = undefined;
	}

	/** Steps of the second machine to return to states. */
	get replayed(): number {
		return this.#maker?.memo.executed.replayed ?? 0;
	}

	#kernelOf(state: KernelState): KernelState {
		const { memo } = this.#maker!;
		const way: KernelState[] = [];
		for (let at: KernelState | undefined = state; at && !memo.known(at.key); at = at.via?.from) way.push(at);
		for (const one of way.reverse()) {
			const { via } = one;
			const tasks = via?.tasks.map((task) => this.#taskOf(task));
			memo.add(one.content, via && { ...via, from: memo.known(via.from.key)!, tasks: tasks! });
		}
		return memo.known(state.key)!;
	}

	#taskOf(state: TaskState): TaskState {
		const { states } = this.#maker!.memo.world;
		this.#tasks[state.id] ??= states.intern(contentOf(state), state.contexts[0]!);
		return this.#tasks[state.id]!;
	}
}
