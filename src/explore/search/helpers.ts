import type { TaskState, World } from "../world/index.js";
import type { Row } from "./columns.js";
import { contentOf, Executions } from "./executions.js";
import { type HelperAnswer, type HelperRequest, kernelContent } from "./helper.js";
import type { KernelState } from "./kernel-state.js";

/** A {@link Helper} in another thread. */
export interface HelperPort {
	/** It has begun to work: until then the search executes by itself. */
	readonly isReady: boolean;
	/** Begins to work, if it has not. */
	start(): void;
	/** Called with each of its answers; undefined: it has ended, and the search goes on without it. */
	onAnswer: (answer: HelperAnswer | undefined) => void;
	ask(request: HelperRequest): void;
}

/** Rows of states of one kernel state whose actors' moves are not known. */
export interface Need {
	readonly kernel: KernelState;
	readonly rows: readonly Row[];
}

/** See the constructor of {@link Helpers}. */
const START = 2_000;

/** What one helper knows. */
interface Known {
	readonly port: HelperPort;
	/** Numbers of task states. */
	readonly tasks: Set<number>;
	/** Numbers of kernel states. */
	readonly kernels: Set<number>;
	/** Keys of those that it has found. */
	readonly found: Set<string>;
	request: { begin?: HelperRequest["begin"]; active?: HelperRequest["active"] };
	/** It can execute for the present exploration. */
	isOn: boolean;
	/** Called when it has made all that it was asked for. */
	done: (() => void) | undefined;
}

/** The helpers of an exploration: the needs of its searches are divided among them. */
export class Helpers {
	#known: Known[];
	#world: World | undefined = undefined;
	#reduction = true;
	/** How much the search executes itself, for each part of a helper. */
	#own = 1;
	#isDone = () => true;
	/** Needs up to now, and those after which helpers start. */
	#needed = 0;
	readonly #after: number;
	/** Explorations that have begun. */
	#round = 0;
	executions: Executions | undefined = undefined;

	/** `after`: so many needs of a small search are not worth the start of a thread. */
	constructor(ports: readonly HelperPort[], after = START) {
		this.#after = after;
		this.#known = ports.map((port) => {
			const one: Known = {
				...{ port, request: {}, isOn: false, done: undefined },
				...{ tasks: new Set<number>(), kernels: new Set<number>(), found: new Set<string>() },
			};
			port.onAnswer = (answer) => this.#take(one, answer);
			return one;
		});
	}

	/** An exploration begins. */
	begin(world: World): Executions {
		this.#world = world;
		this.#round++;
		this.executions = new Executions(world);
		const begin = {
			round: this.#round,
			memory: world.shared.known(),
			decisive: world.states.decisive.known(),
			watched: world.model.notes?.watched() ?? [],
		};
		for (const one of this.#known) {
			one.tasks.clear();
			one.kernels.clear();
			one.found.clear();
			one.request = { begin };
			one.isOn = true;
		}
		return this.executions;
	}

	/** A search of the exploration begins. `active`: names of the tasks that move. */
	beginSearch(active: readonly string[], reduction: boolean): void {
		for (const one of this.#known) one.request = { ...one.request, active };
		this.#reduction = reduction;
	}

	/**
	 * Has a part of it executed: what comes last. Undefined: nothing; otherwise the first of that part, and a promise that says when most of it
	 * is in {@link executions}.
	 */
	share(needs: readonly Need[]): { readonly first: KernelState; readonly done: Promise<void> } | undefined {
		if (!this.executions!.isValid) return undefined;
		this.#needed += needs.length;
		if (this.#needed <= this.#after) return undefined;
		for (const { port } of this.#known) port.start();
		const helpers = this.#known.filter(({ isOn, port }) => isOn && port.isReady);
		const open = needs.filter(({ kernel }) => !this.executions!.knows(kernel));
		const own = Math.ceil((open.length * this.#own) / (this.#own + helpers.length));
		const given = open.slice(own);
		if (helpers.length === 0 || given.length === 0) return undefined;
		const each = Math.ceil(given.length / helpers.length);
		const parts = helpers.map((helper, i) => this.#ask(helper, given.slice(i * each, (i + 1) * each)));
		let isDone = false;
		const done = Promise.all(parts).then(() => {
			isDone = true;
		});
		this.#isDone = () => isDone;
		return { first: given[0]!.kernel, done };
	}

	/** The search needs what helpers make: whoever waits for the other one gets more next time. */
	balance(): void {
		this.#own = Math.min(Math.max(this.#own * (this.#isDone() ? 0.9 : 1.1), 0.1), 10);
	}

	#ask(helper: Known, needs: readonly Need[]): Promise<void> {
		if (needs.length === 0) return Promise.resolve();
		return new Promise((resolve) => {
			helper.done = resolve;
			helper.port.ask(this.#request(helper, needs));
		});
	}

	#take(helper: Known, answer: HelperAnswer | undefined): void {
		if (answer === undefined) {
			helper.isOn = false;
			this.#known = this.#known.filter((one) => one !== helper);
		}
		if (answer === undefined || answer.isLast) helper.done?.();
		if (answer?.round !== this.#round) return;
		const { steps, ended } = answer;
		if (ended) helper.isOn = false;
		for (const { to } of steps) if (typeof to === "object") helper.found.add(to.key);
		this.executions!.add(steps);
	}

	#request(helper: Known, needs: readonly Need[]): HelperRequest {
		const { all } = this.#world!.states;
		const width = this.#world!.names.length + 1;
		const { begin, active } = helper.request;
		helper.request = {};
		const tasks: HelperRequest["tasks"][number][] = [];
		const kernels: HelperRequest["kernels"][number][] = [];
		const sendTask = (state: TaskState) => {
			if (helper.tasks.has(state.id)) return;
			helper.tasks.add(state.id);
			tasks.push({ id: state.id, content: contentOf(state), context: state.contexts[0]! });
		};
		const sendKernel = (wanted: KernelState) => {
			const way: KernelState[] = [];
			for (let at: KernelState | undefined = wanted; at && !helper.kernels.has(at.id); at = at.via?.from) {
				way.push(at);
				if (helper.found.has(at.key)) break;
			}
			for (const state of way.reverse()) {
				const { id, via } = state;
				helper.kernels.add(id);
				if (helper.found.has(state.key)) {
					kernels.push({ id, content: state.key, via: undefined });
					continue;
				}
				for (const task of via?.tasks ?? []) sendTask(task);
				const sent = via && { ...via, from: via.from.id, tasks: Int32Array.from(via.tasks, (task) => task.id) };
				kernels.push({ id, content: kernelContent(state), via: sent });
			}
		};
		const sent = new Int32Array(needs.reduce((sum, { rows }) => sum + rows.length, 0) * width);
		let at = 0;
		for (const { kernel, rows } of needs) {
			sendKernel(kernel);
			for (const row of rows) {
				for (let i = 1; i < width; i++) sendTask(all[row[i]!]!);
				sent.set(row, at);
				at += width;
			}
		}
		return { begin, active, reduction: this.#reduction, tasks, kernels, rows: sent };
	}
}
