import { KlpemuError } from "../../base/index.js";
import type { Read, TaskState } from "../world/index.js";

interface Leaf<T> {
	readonly value: T;
}
interface Branch<T> {
	readonly slot: number;
	readonly field: Read["field"];
	readonly children: Map<unknown, Branch<T> | Leaf<T>>;
}

/** A step of kernel code: the state that it may read, and a function that makes it. */
export interface Step<T> {
	/** The states of all tasks, by slot. */
	readonly tasks: readonly TaskState[];
	/** True if a task can be on a CPU. */
	mayBeBusy(slot: number): readonly boolean[];
	/** Executes the step, with these tasks on a CPU. */
	execute(busy: ReadonlySet<number>): { readonly reads: readonly Read[]; readonly value: T };
}

/** A decision about `on_cpu`: slots of the tasks that are on a CPU. */
type Busy = readonly number[];

/**
 * The results of one step of kernel code, by the values that it reads from tasks. All states that agree in these reads
 * share one execution. If the step reads `on_cpu`, both values may be possible: then it has several results.
 */
export class DecisionTree<T> {
	#root: Branch<T> | Leaf<T> | undefined = undefined;

	/** All possible results of the step. Throws `EXPLORE_NONDETERMINISM`. */
	find(step: Step<T>): T[] {
		const found: T[] = [];
		const open: Busy[] = [NOBODY];
		for (let busy = open.pop(); busy !== undefined; busy = open.pop()) found.push(this.#follow(step, busy, open));
		return found;
	}

	/** Follows one path through the tree. The other decisions about `on_cpu` are added to `open`. */
	#follow(step: Step<T>, busy: Busy, open: Busy[]): T {
		if (this.#root === undefined) this.#execute(step, new Set(busy));
		let node = this.#root!;
		let decided = 0;
		/** Tasks that are on a CPU on this path: those in `busy`, and those that must be. */
		const really = new Set<number>();
		while ("children" in node) {
			const { slot, field, children }: Branch<T> = node;
			let value: unknown;
			if (field === "on_cpu") {
				const allowed = step.mayBeBusy(slot);
				value = allowed.length === 1 ? allowed[0]! : busy.includes(slot);
				if (busy.includes(slot)) decided++;
				else if (allowed.length === 2 && decided === busy.length) open.push([...busy, slot]);
				if (value === true) really.add(slot);
			} else value = field === "entries" ? step.tasks[slot]!.entriesKey : step.tasks[slot]!.fields[field];
			let child = children.get(value);
			if (child === undefined) {
				this.#execute(step, really);
				child = children.get(value);
				if (child === undefined) throw nondeterminism(`it does not read ${field} of task ${slot}`);
			}
			node = child;
		}
		return node.value;
	}

	#execute(step: Step<T>, busy: ReadonlySet<number>): void {
		const { reads, value } = step.execute(busy);
		this.#insert(reads, value);
	}

	/**
	 * Adds an execution. Throws `EXPLORE_NONDETERMINISM` if an earlier execution differs, although it had read the same
	 * values.
	 */
	#insert(reads: readonly Read[], value: T): void {
		let put = (node: Branch<T> | Leaf<T>) => {
			this.#root = node;
		};
		let node = this.#root;
		for (const { slot, field, value: read } of reads) {
			if (node === undefined) {
				node = { slot, field, children: new Map() };
				put(node);
			}
			if (!("children" in node) || node.slot !== slot || node.field !== field) {
				throw nondeterminism(`${field} of task ${slot} is read where something else was`);
			}
			const { children }: Branch<T> = node;
			put = (child) => {
				children.set(read, child);
			};
			node = children.get(read);
		}
		if (node === undefined) put({ value });
		else if ("children" in node) throw nondeterminism("it reads less than before");
	}
}

function nondeterminism(what: string): KlpemuError {
	return new KlpemuError("EXPLORE_NONDETERMINISM", `a step was made a second time and went another way: ${what}`);
}

const NOBODY: Busy = [];
