import type { Row } from "./columns.js";
import { words } from "./pairs.js";
import type { Asked, Mapping } from "./trace.js";

/** A state to which a move leads: the number of its kernel state, and where the states of tasks go. */
export interface Successor {
	readonly kernel: number | typeof SAME_KERNEL;
	readonly changes: readonly { readonly slot: number; readonly mapping: Mapping }[];
}

/** Of a task's move, because kernel states share those. */
export const SAME_KERNEL = -1;
/** Of which moves a tree is: of tasks, or of actors. A list of cells, by kernel state. */
export const MOVES = { ofTasks: 2, ofActors: 4 } as const;
export type MovesKind = keyof typeof MOVES;
/** In the order in which they are visited. */
export const MOVE_KINDS: readonly MovesKind[] = ["ofTasks", "ofActors"];

/** Nothing is known yet. */
export const UNKNOWN = 0;
/** The moves depend on more than questions, or break an invariant. */
export const SLOW = 1;
const FIRST = 6;
/** Words of a node: the question, the column of the row, and its list of children. */
const NODE = 4;

/**
 * All that is known about moves, as numbers in one buffer: a search that finds its moves here reads nothing else. For each kernel
 * state there is a tree of questions about tasks; its leaves are the moves.
 *
 *     list    base, size           of numbers; a number that is not known is 0
 *     node    list of answers plus one by task state, column of the row, list of children by answer
 *     child   0: unknown, > 0: a node, < 0: a leaf
 *     leaf    count, then for each move: kernel state, count of changes, and for each: column, list of new task states plus one
 */
export class KnownMoves {
	/** The buffer: another one, once it is full. */
	words: Int32Array;
	#used = FIRST;
	/** The lists that belong to questions and mappings. */
	readonly #lists = new Map<object, number>();
	readonly #shared: boolean;

	/** `shared`: other threads can look into its words. */
	constructor(shared = false) {
		this.#shared = shared;
		this.words = words(1 << 14, shared);
	}

	/** The leaf for a state, {@link UNKNOWN} or {@link SLOW}. */
	leaf(kind: MovesKind, row: Row): number {
		const { words } = this;
		const kernel = row[0]!;
		const list = MOVES[kind];
		if (kernel >= words[list + 1]!) return UNKNOWN;
		const cell = words[words[list]! + kernel]!;
		if (cell === 0) return UNKNOWN;
		let node = words[cell]!;
		while (node > 0) {
			const answers = words[node]!;
			const task = row[words[node + 1]!]!;
			if (task >= words[answers + 1]!) return UNKNOWN;
			const answer = words[words[answers]! + task]!;
			// Answers are stored plus one: 0 is below the size of the list, but not known.
			if (answer === 0 || answer > words[node + 3]!) return UNKNOWN;
			node = words[words[node + 2]! + answer - 1]!;
		}
		return -node;
	}

	/**
	 * Writes the state behind the next move of a leaf to `next`, whose row is that of the state before. `at`: the place of the
	 * move. Returns the place behind it; {@link UNKNOWN}: a task state on the way is not known.
	 */
	apply(at: number, row: Row, next: Row): number {
		const { words } = this;
		const kernel = words[at]!;
		if (kernel !== SAME_KERNEL) next[0] = kernel;
		let place = at + 2;
		for (let i = words[at + 1]!; i > 0; i--, place += 2) {
			const column = words[place]!;
			const list = words[place + 1]!;
			const task = row[column]!;
			const to = task < words[list + 1]! ? words[words[list]! + task]! : 0;
			if (to === 0) return UNKNOWN;
			next[column] = to - 1;
		}
		return place;
	}

	/** Takes back what {@link apply} has written. */
	undo(at: number, row: Row, next: Row): void {
		const { words } = this;
		next[0] = row[0]!;
		for (let i = words[at + 1]!, place = at + 2; i > 0; i--, place += 2) next[words[place]!] = row[words[place]!]!;
	}

	/** True if the kernel state has its tree. */
	hasTree(kind: MovesKind, kernel: number): boolean {
		return this.#get(MOVES[kind], kernel) !== 0;
	}

	/** `owner`: kernel states with the same one share their tree. */
	giveTree(kind: MovesKind, kernel: number, owner: object): void {
		this.#set(MOVES[kind], kernel, this.#listOf(owner));
	}

	/**
	 * Adds what was found for a state. `successors`: also the row of each; undefined: {@link SLOW}. The kernel state has its
	 * tree.
	 */
	learn(
		kind: MovesKind,
		row: Row,
		asked: readonly Asked[],
		successors: readonly (Successor & { readonly row: Row })[] | undefined,
	): void {
		let cell = this.#get(MOVES[kind], row[0]!);
		for (const { slot, question, answer } of asked) {
			const answers = this.#listOf(question);
			this.#set(answers, row[slot + 1]!, answer + 1);
			const node = this.words[cell] || this.#node(answers, slot + 1);
			// The words may be new ones.
			this.words[cell] = node;
			if (this.words[node] !== answers || this.words[node + 1] !== slot + 1) {
				throw new Error("internal error: the same answers have led to another question");
			}
			this.#reserve(node + 2, answer);
			cell = this.words[node + 2]! + answer;
		}
		if (successors === undefined) {
			this.words[cell] = -SLOW;
			return;
		}
		for (const { changes, row: after } of successors) {
			for (const { slot, mapping } of changes) {
				this.#set(this.#listOf(mapping), row[slot + 1]!, after[slot + 1]! + 1);
			}
		}
		const leaf = -this.words[cell]! || this.#leaf(successors);
		this.words[cell] = -leaf;
	}

	get bytes(): number {
		return this.words.byteLength;
	}

	#node(answers: number, column: number): number {
		const node = this.#take(NODE);
		this.words[node] = answers;
		this.words[node + 1] = column;
		return node;
	}

	#leaf(successors: readonly Successor[]): number {
		const numbers = [successors.length];
		for (const { kernel, changes } of successors) {
			numbers.push(kernel, changes.length);
			for (const { slot, mapping } of changes) numbers.push(slot + 1, this.#listOf(mapping));
		}
		const leaf = this.#take(numbers.length);
		this.words.set(numbers, leaf);
		return leaf;
	}

	#listOf(owner: object): number {
		let list = this.#lists.get(owner);
		if (list === undefined) {
			list = this.#take(2);
			this.#lists.set(owner, list);
		}
		return list;
	}

	#get(list: number, index: number): number {
		return index < this.words[list + 1]! ? this.words[this.words[list]! + index]! : 0;
	}

	#set(list: number, index: number, value: number): void {
		this.#reserve(list, index);
		this.words[this.words[list]! + index] = value;
	}

	/** Makes a list long enough for an index. What it had stays behind unused: lists double, so that it is never more. */
	#reserve(list: number, index: number): void {
		const [base, size] = [this.words[list]!, this.words[list + 1]!];
		if (index < size) return;
		const larger = 2 ** Math.ceil(Math.log2(index + 1));
		const to = this.#take(larger);
		this.words.copyWithin(to, base, base + size);
		this.words[list] = to;
		this.words[list + 1] = larger;
	}

	/** Words that are 0. */
	#take(count: number): number {
		const at = this.#used;
		this.#used += count;
		if (this.#used > this.words.length) {
			const larger = words(Math.max(2 * this.words.length, this.#used), this.#shared);
			larger.set(this.words);
			this.words = larger;
		}
		return at;
	}
}
