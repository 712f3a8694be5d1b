import type { TaskState, World } from "../world/index.js";
import type { Row } from "./columns.js";
import { contentOf, Executions, type NeededMove } from "./executions.js";
import { type HelperAnswer, type HelperRequest, kernelContent } from "./helper.js";
import type { KernelState } from "./kernel-state.js";

/** A {@link Helper} in another thread. */
export interface HelperPort {
	/** It has begun to work: until then the search executes by itself. */
	readonly isReady: boolean;
	/** Undefined: it has ended, and the search goes on without it. */
	ask(request: HelperRequest): Promise<HelperAnswer | undefined>;
}

/** What a search needs next. */
export interface Needs {
	readonly moves: readonly NeededMove[];
	/** Rows of states whose actors' moves are not known, by kernel state. */
	readonly rows: ReadonlyMap<KernelState, readonly Row[]>;
}

/** What one helper knows. */
interface Known {
	readonly port: HelperPort;
	/** Task states, each with the number of contexts. */
	readonly tasks: Map<number, number>;
	readonly kernels: Set<number>;
	request: { begin?: HelperRequest["begin"]; active?: HelperRequest["active"] };
	/** It can execute for the present exploration. */
	isOn: boolean;
}

/** Actors' moves weigh more: there are several, each of some steps. */
const WEIGHT = 8;

/** The helpers of an exploration: the needs of its searches are divided among them. */
export class Helpers {
	#known: Known[];
	#world: World | undefined = undefined;
	#reduction = true;
	/** By kernel state, the helper that finds the moves of its actors: it knows most of what is needed. */
	#owners: Known[] = [];
	executions: Executions | undefined = undefined;

	constructor(ports: readonly HelperPort[]) {
		this.#known = ports.map((port) => ({
			...{ port, request: {}, isOn: false },
			tasks: new Map<number, number>(),
			kernels: new Set<number>(),
		}));
	}

	/** An exploration begins. */
	begin(world: World): Executions {
		this.#world = world;
		this.#owners = [];
		this.executions = new Executions(world);
		const begin = {
			memory: world.shared.known(),
			decisive: world.states.decisive.known(),
			watched: world.model.notes?.watched() ?? [],
		};
		for (const one of this.#known) {
			one.tasks.clear();
			one.kernels.clear();
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

	/** Has it executed. Afterwards the search finds most of it in {@link executions}. */
	async execute({ moves, rows }: Needs): Promise<void> {
		if (!this.executions!.isValid || (moves.length === 0 && rows.size === 0)) return;
		const helpers = this.#known.filter(({ isOn, port }) => isOn && port.isReady);
		if (helpers.length === 0) return;
		const parts = this.#divide(helpers, { moves, rows });
		await Promise.all(helpers.map((helper, i) => this.#ask(helper, parts[i]!)));
	}

	#divide(helpers: readonly Known[], { moves, rows }: Needs): Part[] {
		const parts: Part[] = helpers.map(() => ({ moves: [], rows: [], weight: 0 }));
		for (const [kernel, group] of rows) {
			const owner = this.#owners[kernel.id];
			const part = parts[owner === undefined ? -1 : helpers.indexOf(owner)] ?? lightest(parts);
			this.#owners[kernel.id] = helpers[parts.indexOf(part)]!;
			part.rows.push([kernel, group]);
			part.weight += WEIGHT;
		}
		const whole = parts.reduce((sum, { weight }) => sum + weight, moves.length);
		// Moves that follow each other here have the same kernel state, or one that looks the same.
		let at = 0;
		for (const part of parts) {
			const count = Math.max(Math.ceil(whole / parts.length) - part.weight, 0);
			part.moves.push(...moves.slice(at, at + count));
			at += count;
		}
		return parts;
	}

	async #ask(helper: Known, { moves, rows }: Part): Promise<void> {
		if (moves.length === 0 && rows.length === 0) return;
		const answer = await helper.port.ask(this.#request(helper, moves, rows));
		if (answer === undefined || answer.ended) helper.isOn = false;
		if (answer === undefined) this.#known = this.#known.filter((one) => one !== helper);
		else this.executions!.add(answer.steps, answer.moves);
	}

	#request(helper: Known, moves: Part["moves"], rows: Part["rows"]): HelperRequest {
		const world = this.#world!;
		const { all } = world.states;
		const width = world.names.length + 1;
		const { begin, active } = helper.request;
		helper.request = {};
		const tasks: HelperRequest["tasks"][number][] = [];
		const kernels: HelperRequest["kernels"][number][] = [];
		const sendTask = (state: TaskState) => {
			const { id, contexts } = state;
			if (helper.tasks.get(id) === contexts.length) return;
			helper.tasks.set(id, contexts.length);
			tasks.push({ id, content: contentOf(state), contexts });
		};
		const sendKernel = (wanted: KernelState) => {
			const way: KernelState[] = [];
			for (let at: KernelState | undefined = wanted; at && !helper.kernels.has(at.id); at = at.via?.from) way.push(at);
			for (const state of way.reverse()) {
				const { id, via } = state;
				helper.kernels.add(id);
				for (const task of via?.tasks ?? []) sendTask(task);
				const sent = via && { ...via, from: via.from.id, tasks: Int32Array.from(via.tasks, (task) => task.id) };
				kernels.push({ id, content: kernelContent(state), via: sent });
			}
		};
		const sentMoves = moves.map(({ kernel, slot, task, context, goesOn }) => {
			sendKernel(kernel);
			sendTask(all[task]!);
			return { kernel: kernel.id, slot, task, context, goesOn };
		});
		const sentRows = new Int32Array(rows.reduce((sum, [, group]) => sum + group.length, 0) * width);
		let at = 0;
		for (const [kernel, group] of rows) {
			sendKernel(kernel);
			for (const row of group) {
				for (let i = 1; i < width; i++) sendTask(all[row[i]!]!);
				sentRows.set(row, at);
				at += width;
			}
		}
		return { begin, active, reduction: this.#reduction, tasks, kernels, moves: sentMoves, rows: sentRows };
	}
}

/** What one helper executes. */
interface Part {
	readonly moves: NeededMove[];
	readonly rows: (readonly [KernelState, readonly Row[]])[];
	weight: number;
}

function lightest(parts: readonly Part[]): Part {
	return parts.reduce((best, part) => (part.weight < best.weight ? part : best));
}
