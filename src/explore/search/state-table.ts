import type { Row } from "./columns.js";
import { Pairs, type PairsNews } from "./pairs.js";

/** Pairs in one chunk of the table of states, and of the others: 2 to the power of this. */
const STATE_CHUNK = 14;
const PART_CHUNK = 10;

/**
 * The states that have been visited, each once. A state is a row of numbers, and stored as a tree: the pair of the numbers of its
 * halves, which are pairs of numbers of quarters, and so on. Few halves are different, so that a state takes little more than its
 * own pair.
 */
export class StateTable {
	readonly width: number;
	/** Columns of a whole state: its row, then the number of each pair of the tree. The last one is the state's number. */
	readonly size: number;
	readonly #pairs: Pairs[] = [];
	/** By pair, the columns of its two sides. */
	readonly #left: Int32Array;
	readonly #right: Int32Array;
	readonly #states: Pairs;

	/** `width`: numbers in a row, at least 2. `shared`: other threads can look into it, see {@link news}. */
	constructor(width: number, shared = false) {
		this.width = width;
		this.size = 2 * width - 1;
		const sides: [number, number][] = [];
		// The kernel's number, column 0, comes last, beside the idle tasks: those change least.
		const build = (from: number, to: number): number => {
			if (to - from === 1) return to === width ? 0 : to;
			const middle = (from + to) >> 1;
			sides.push([build(from, middle), build(middle, to)]);
			return width + sides.length - 1;
		};
		build(0, width);
		this.#left = Int32Array.from(sides, ([left]) => left);
		this.#right = Int32Array.from(sides, ([, right]) => right);
		for (let i = 1; i < width; i++) this.#pairs.push(new Pairs(i === width - 1 ? STATE_CHUNK : PART_CHUNK, shared));
		this.#states = this.#pairs.at(-1)!;
	}

	/** A whole state, for {@link read} and {@link add}: no state yet. */
	whole(): Row {
		return new Int32Array(this.size).fill(-1);
	}

	get length(): number {
		return this.#states.length;
	}

	/** What a table in another thread needs to be like this one, if it has so many chunks of each part. */
	news(chunks: readonly number[]): PairsNews[] {
		return this.#pairs.map((pairs, i) => pairs.news(chunks[i] ?? 0));
	}

	/** Takes the {@link news} of a table in another thread. Nothing is added here. */
	take(news: readonly PairsNews[]): void {
		for (const [i, one] of news.entries()) this.#pairs[i]!.take(one);
	}

	/** Number of chunks of each part. */
	get chunks(): number[] {
		return this.#pairs.map(({ chunks }) => chunks);
	}

	/** Reads a whole state. */
	read(state: number, into: Row): void {
		const { width } = this;
		into[into.length - 1] = state;
		for (let i = width - 2; i >= 0; i--) {
			const pairs = this.#pairs[i]!;
			const number = into[width + i]!;
			into[this.#left[i]!] = pairs.first(number);
			into[this.#right[i]!] = pairs.second(number);
		}
	}

	/**
	 * The number of the state whose row is the beginning of `whole`; `-number - 1` if it is new. `like`: another whole
	 * state; what both have in common is not looked for.
	 */
	add(whole: Row, like: Row): number {
		const { width } = this;
		const last = width - 2;
		for (let i = 0; i < last; i++) {
			const left = this.#left[i]!;
			const right = this.#right[i]!;
			const a = whole[left]!;
			const b = whole[right]!;
			if (a === like[left] && b === like[right]) {
				whole[width + i] = like[width + i]!;
			} else {
				const number = this.#pairs[i]!.add(a, b);
				whole[width + i] = number < 0 ? -number - 1 : number;
			}
		}
		return this.#states.add(whole[this.#left[last]!]!, whole[this.#right[last]!]!);
	}

	/** The same for a state of which the numbers of both halves are known, see {@link halves}. */
	addHalves(left: number, right: number): number {
		return this.#states.add(left, right);
	}

	/** The columns of the two halves in a whole state. */
	get halves(): readonly [number, number] {
		return [this.#left[this.width - 2]!, this.#right[this.width - 2]!];
	}

	/** The number of the state whose row is the beginning of `whole`, or -1; so are those of parts that are not there. `like`: see {@link add}. */
	find(whole: Row, like: Row): number {
		const { width } = this;
		for (let i = 0; i < width - 1; i++) {
			const left = this.#left[i]!;
			const right = this.#right[i]!;
			const a = whole[left]!;
			const b = whole[right]!;
			whole[width + i] = a === like[left] && b === like[right] ? like[width + i]! : this.#pairs[i]!.find(a, b);
		}
		return whole[this.size - 1]!;
	}

	/** The number in the first column. */
	first(state: number): number {
		let number = state;
		for (let i = this.width - 2; ; ) {
			number = this.#pairs[i]!.second(number);
			const column = this.#right[i]!;
			if (column === 0) return number;
			i = column - this.width;
		}
	}

	/** The number of pairs in each table; the last one is that of the states. */
	get lengths(): number[] {
		return this.#pairs.map(({ length }) => length);
	}

	/** The first pairs of each table. */
	saved(counts: readonly number[]): Int32Array[] {
		return this.#pairs.map((pairs, i) => pairs.saved(counts[i]!));
	}

	/** Reads what {@link saved} has given, into an empty table. False: that is not what it was given. */
	restore(numbers: Int32Array, counts: readonly number[]): boolean {
		let at = 0;
		for (const [i, pairs] of this.#pairs.entries()) {
			for (let number = 0; number < counts[i]!; number++, at += 2) {
				if (pairs.add(numbers[at]!, numbers[at + 1]!) !== -number - 1) return false;
			}
		}
		return at === numbers.length;
	}

	get bytes(): number {
		return this.#pairs.reduce((sum, pairs) => sum + pairs.bytes, 0);
	}
}
