import { KlpemuError } from "../../base/index.js";
import type { Read } from "../world/index.js";
import type { Column, TaskColumns } from "./columns.js";
import type { Position } from "./trace.js";

interface Leaf<T> {
	readonly slot: -1;
	readonly value: T;
}
interface Branch<T> {
	/** The task that is read. */
	readonly slot: number;
	readonly field: Read["field"];
	/** The numbers of the field's values; undefined: `on_cpu`. */
	readonly column: Column | undefined;
	/** By the number of the value; of `on_cpu`: 0 and 1. */
	readonly children: (Node<T> | undefined)[];
}
type Node<T> = Branch<T> | Leaf<T>;

/** Possible values of `on_cpu`, as bits. */
export const ON_CPU = { no: 1, yes: 2, either: 3 } as const;

/** A step of kernel code from one state: the rule for `on_cpu`, and a function that makes the step. */
export interface Step<T> {
	/** The state. */
	readonly position: Pick<Position, "ask">;
	/** Bits of {@link ON_CPU}. */
	mayBeBusy(slot: number): number;
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
	readonly #columns: TaskColumns;
	#root: Node<T> | undefined = undefined;

	constructor(columns: TaskColumns) {
		this.#columns = columns;
	}

	/** All possible results of the step. Throws `EXPLORE_NONDETERMINISM`. */
	find(step: Step<T>): T[] {
		const open: Busy[] = [];
		const found = [this.#follow(step, NOBODY, open)];
		for (let busy = open.pop(); busy !== undefined; busy = open.pop()) found.push(this.#follow(step, busy, open));
		return found;
	}

	/** Follows one path through the tree. The other decisions about `on_cpu` are added to `open`. */
	#follow(step: Step<T>, busy: Busy, open: Busy[]): T {
		const before = open.length;
		for (;;) {
			const leaf = this.#leaf(step, busy, open);
			if (leaf !== undefined) return leaf.value;
			open.length = before;
			this.#grow(step, busy);
		}
	}

	/** The end of a path; undefined: the step must be executed. */
	#leaf(step: Step<T>, busy: Busy, open: Busy[]): Leaf<T> | undefined {
		let node = this.#root;
		let decided = 0;
		while (node !== undefined && isBranch(node)) {
			const { slot, column }: Branch<T> = node;
			let value: number;
			if (column === undefined) {
				const allowed = step.mayBeBusy(slot);
				const chosen: boolean = busy.includes(slot);
				if (chosen) decided++;
				else if (allowed === ON_CPU.either && decided === busy.length) open.push([...busy, slot]);
				value = isOnCpu(allowed, chosen) ? 1 : 0;
			} else value = step.position.ask(slot, column);
			node = node.children[value];
		}
		return node;
	}

	/** Executes the step for a path that does not lead to a leaf yet. */
	#grow(step: Step<T>, busy: Busy): void {
		if (this.#root === undefined) this.#execute(step, new Set(busy));
		/** Tasks that are on a CPU on this path: those in `busy`, and those that must be. */
		const really = new Set<number>();
		for (let node = this.#root!; isBranch(node); ) {
			const { slot, field, column, children }: Branch<T> = node;
			const onCpu: boolean = column === undefined && isOnCpu(step.mayBeBusy(slot), busy.includes(slot));
			if (onCpu) really.add(slot);
			const value = column === undefined ? Number(onCpu) : step.position.ask(slot, column);
			if (children[value] === undefined) this.#execute(step, really);
			const child = children[value];
			if (child === undefined) throw nondeterminism(`it does not read ${field} of task ${slot}`);
			node = child;
		}
	}

	#execute(step: Step<T>, busy: ReadonlySet<number>): void {
		// The step keeps what it gets, to be made again; a path adds to its own.
		const { reads, value } = step.execute(new Set(busy));
		this.#insert(reads, value);
	}

	/**
	 * Adds an execution. Throws `EXPLORE_NONDETERMINISM` if an earlier execution differs, although it had read the same
	 * values.
	 */
	#insert(reads: readonly Read[], value: T): void {
		let put = (node: Node<T>) => {
			this.#root = node;
		};
		let node = this.#root;
		for (const { slot, field, value: read } of reads) {
			const numbers = field === "on_cpu" ? undefined : this.#columns.field(field);
			if (node === undefined) {
				node = { slot, field, column: numbers?.column, children: [] };
				put(node);
			}
			if (!isBranch(node) || node.slot !== slot || node.field !== field) {
				throw nondeterminism(`${field} of task ${slot} is read where something else was`);
			}
			const { children }: Branch<T> = node;
			const index = numbers === undefined ? Number(read) : numbers.number(read);
			put = (child) => {
				children[index] = child;
			};
			node = children[index];
		}
		if (node === undefined) put({ slot: -1, value });
		else if (isBranch(node)) throw nondeterminism("it reads less than before");
	}
}

function isBranch<T>(node: Node<T>): node is Branch<T> {
	return node.slot >= 0;
}

function isOnCpu(allowed: number, chosen: boolean): boolean {
	return allowed === ON_CPU.either ? chosen : allowed === ON_CPU.yes;
}

function nondeterminism(what: string): KlpemuError {
	return new KlpemuError("EXPLORE_NONDETERMINISM", `a step was made a second time and went another way: ${what}`);
}

const NOBODY: Busy = [];
