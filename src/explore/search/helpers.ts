import type { TaskState, World } from "../world/index.js";
import type { Row } from "./columns.js";
import { contentOf, Executions, kernelContent } from "./executions.js";
import type { FollowerPort } from "./followers.js";
import type { HelperAnswer, HelperRequest } from "./helper.js";
import type { KernelState } from "./kernel-state.js";

/** A {@link Helper} in another thread, with a {@link RemoteFollower}. Until it is ready the search does everything by itself. */
export interface HelperPort extends FollowerPort {
	/** Begins to work, if it has not. */
	start(): void;
	/** Called with each of its answers; undefined: it has ended, and the search goes on without it. */
	onAnswer: (answer: HelperAnswer | undefined) => void;
	ask(request: HelperRequest): void;
	/** Takes the answers that have come. Otherwise they come when this thread does nothing. */
	poll(): void;
}

/** Rows of states of one kernel state whose actors' moves are not known. */
export interface Need {
	readonly kernel: KernelState;
	readonly rows: readonly Row[];
}

/** See the constructor of {@link Helpers}. */
const START = 100;
const LEVEL = 1_000;
/** A helper has so many rows to do, and gets more when it has only half of them left. With more the search would wait for it longer. */
const ROWS = 4;

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
	/** How many rows it was asked for, and has finished. */
	asked: number;
	done: number;
	/** The search waits until it has finished so many. */
	awaited: { readonly done: number; readonly resolve: () => void } | undefined;
}

/** What a helper was asked for: it has that when it has finished so many rows. */
interface Given {
	readonly helper: Known;
	readonly done: number;
}

/** The helpers of an exploration: the needs of its searches are divided among them. */
export class Helpers {
	#known: Known[];
	#world: World | undefined = undefined;
	#reduction = true;
	/** What the present level needs and nobody makes yet. The search takes the first one, helpers the last one. */
	#open: Need[] = [];
	#first = 0;
	/** By number of the kernel state. */
	readonly #given = new Map<number, Given>();
	/** Needs up to now, and those after which helpers start. */
	#needed = 0;
	readonly #after: number;
	/** From so many states in a level on, other threads follow its known moves. */
	readonly level: number;
	/** Explorations that have begun. */
	#round = 0;
	executions: Executions | undefined = undefined;

	/** `after`: so many needs of a small search are not worth the start of a thread. `level`: the same for the states of a level. */
	constructor(ports: readonly HelperPort[], { after = START, level = LEVEL } = {}) {
		this.#after = after;
		this.level = level;
		this.#known = ports.map((port) => {
			const one: Known = {
				...{ port, request: {}, isOn: false, asked: 0, done: 0, awaited: undefined },
				...{ tasks: new Set<number>(), kernels: new Set<number>(), found: new Set<string>() },
			};
			port.onAnswer = (answer) => this.#take(one, answer);
			return one;
		});
	}

	/** All of them. */
	get ports(): HelperPort[] {
		return this.#known.map(({ port }) => port);
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

	/** A level of the search begins. `needs`: in the order in which it comes to them. */
	beginLevel(needs: readonly Need[]): void {
		this.#open = [];
		this.#first = 0;
		this.#given.clear();
		if (!this.executions!.isValid) return;
		this.#needed += needs.length;
		if (this.#needed <= this.#after) return;
		for (const { port } of this.#known) port.start();
		this.#open = needs.filter(({ kernel }) => !this.executions!.knows(kernel));
		this.#share();
	}

	/** The search comes to what this kernel state needs. Undefined: it makes that itself; otherwise it waits. */
	arriveAt(kernel: KernelState): Promise<void> | undefined {
		for (const { port } of this.#known) port.poll();
		if (this.#open[this.#first]?.kernel === kernel) {
			this.#first++;
			if (!this.executions!.knows(kernel)) this.#tell([kernel.key]);
		}
		this.#share();
		const given = this.#given.get(kernel.id);
		if (given === undefined || isFinished(given)) return undefined;
		return new Promise((resolve) => {
			given.helper.awaited = { done: given.done, resolve };
		});
	}

	/** The search, or the helper `by`, executes from there: no other one needs to. */
	#tell(keys: readonly string[], by?: Known): void {
		for (const helper of this.#known) {
			if (helper === by || !helper.isOn) continue;
			const taken = keys.filter((key) => helper.found.has(key));
			if (taken.length > 0) helper.port.ask({ ...this.#request(helper, []), taken });
		}
	}

	/** Gives helpers something to do. */
	#share(): void {
		for (const helper of this.#known) {
			if (!helper.isOn || !helper.port.isReady || helper.asked - helper.done > ROWS / 2) continue;
			const needs: Need[] = [];
			let rows = helper.asked - helper.done;
			while (rows < ROWS && this.#first < this.#open.length) {
				const need = this.#open.pop()!;
				if (this.executions!.knows(need.kernel)) continue;
				needs.push(need);
				rows += need.rows.length;
			}
			if (needs.length > 0) this.#ask(helper, needs);
		}
	}

	#ask(helper: Known, needs: readonly Need[]): void {
		for (const { kernel, rows } of needs) {
			helper.asked += rows.length;
			this.#given.set(kernel.id, { helper, done: helper.asked });
		}
		helper.port.ask(this.#request(helper, needs));
	}

	#take(helper: Known, answer: HelperAnswer | undefined): void {
		if (answer === undefined) {
			helper.isOn = false;
			this.#known = this.#known.filter((one) => one !== helper);
		} else helper.done = answer.done;
		if (answer?.round === this.#round) {
			const { steps, ended } = answer;
			if (ended) helper.isOn = false;
			for (const { to } of steps) if (typeof to === "object") helper.found.add(to.key);
			this.executions!.add(steps);
			this.#tell([...new Set(steps.map(({ from }) => from))], helper);
		}
		const { awaited } = helper;
		if (awaited === undefined || (helper.isOn && helper.done < awaited.done)) return;
		helper.awaited = undefined;
		awaited.resolve();
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
		return { begin, active, reduction: this.#reduction, tasks, kernels, rows: sent, taken: [] };
	}
}

function isFinished({ helper, done }: Given): boolean {
	return !helper.isOn || helper.done >= done;
}
