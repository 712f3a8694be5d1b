import { RSP } from "../../cpu/index.js";
import type { Origins } from "./task-flow.js";

/** Registers and stack of a task when it first reached this state; data in them may differ the next time. */
export interface GuestContext {
	readonly words: BigUint64Array;
	readonly stack: Uint8Array;
	/** Of the values that come from memory which tasks write; undefined: none does. */
	readonly origins?: Origins | undefined;
}

/**
 * A word of a task's registers or of its stack: a register by its number, a word of 8 bytes of the stack by -1, -2, ... from the
 * stack's top down.
 */
export type Word = number;

const WORD = 8;

function valueIn({ words, stack }: GuestContext, word: Word): bigint | undefined {
	if (word >= 0) return words[word];
	const at = stack.length + WORD * word;
	return at < 0 ? undefined : new DataView(stack.buffer, stack.byteOffset).getBigUint64(at, true);
}

/**
 * The data that decides where tasks go: by place, the words of registers and stack that are a part of the state there. The search finds
 * them; all other data at a place is not told apart.
 */
export class DecisiveWords {
	#at = new Map<string, readonly Word[]>();
	/** What is found takes effect with the next exploration. */
	readonly #found = new Map<string, Set<Word>>();

	/** An exploration begins. */
	begin(): void {
		for (const [place, words] of this.#found)
			this.#at.set(
				place,
				[...words].sort((a, b) => a - b),
			);
	}

	/** For another world of the same model: what the present exploration has known when it began. */
	known(): ReadonlyMap<string, readonly Word[]> {
		return this.#at;
	}

	/** An exploration begins, in which this and nothing else is known. */
	beginWith(known: ReadonlyMap<string, readonly Word[]>): void {
		this.#at = new Map(known);
		this.#found.clear();
	}

	add(place: string, words: readonly Word[]): void {
		this.#found.set(place, new Set([...(this.#found.get(place) ?? []), ...words]));
	}

	/** Some data decides there. */
	has(place: string): boolean {
		return this.#at.has(place);
	}

	/** True if the next exploration tells these two apart. */
	tellsApart(place: string, one: GuestContext, other: GuestContext): boolean {
		return [...(this.#found.get(place) ?? [])].some((word) => valueIn(one, word) !== valueIn(other, word));
	}

	/** The values that are a part of the state, in words. */
	valuesAt(place: string, context: GuestContext): string {
		const words = this.#at.get(place);
		if (words === undefined || context.words.length === 0) return "";
		return words.map((word) => valueIn(context, word)?.toString(16) ?? "-").join();
	}
}

/** `context`, with some words of another one. */
function mixed(context: GuestContext, other: GuestContext, words: readonly Word[]): GuestContext {
	const mix = { words: context.words.slice(), stack: context.stack.slice() };
	const stack = new DataView(mix.stack.buffer);
	for (const word of words) {
		const value = valueIn(other, word)!;
		if (word >= 0) mix.words[word] = value;
		else stack.setBigUint64(mix.stack.length + WORD * word, value, true);
	}
	return mix;
}

/**
 * A smallest set of words that make a task go where `other` goes, if `context` gets them from there. Undefined: not the data of the two
 * decides. `run`: where the task goes from a context; undefined if it cannot.
 */
export function decisiveWords<T>(
	context: GuestContext,
	other: GuestContext,
	run: (context: GuestContext) => T | undefined,
): Word[] | undefined {
	const goal = run(other);
	if (goal === undefined || run(context) === goal) return undefined;
	if (context.stack.length !== other.stack.length) return [RSP];
	const registers = Array.from(context.words, (_, word) => word);
	const stack = Array.from({ length: Math.floor(context.stack.length / WORD) }, (_, index) => -1 - index);
	let words = [...registers, ...stack].filter((word) => valueIn(context, word) !== valueIn(other, word));
	for (const word of [...words]) {
		const fewer = words.filter((one) => one !== word);
		if (run(mixed(context, other, fewer)) === goal) words = fewer;
	}
	return words;
}
