import type { Question, Row } from "./columns.js";
import type { KernelState } from "./kernel-state.js";

/** Where the states of one task go, in the steps that a move has made so far. */
export class Mapping {
	readonly #next = new Map<object, Mapping>();
	readonly #questions = new Map<Question, object>();

	/** This one, and then another step; `step` stands for what the step does to the task. Each is there once. */
	followedBy(step: object): Mapping {
		return madeOnce(this.#next, step, () => new Mapping());
	}

	/** Stands for a question about the state to which this leads, as a question about the state from which it leads. */
	before(question: Question): object {
		return this === NO_CHANGE ? question : madeOnce(this.#questions, question, () => ({}));
	}
}

export const NO_CHANGE = new Mapping();

function madeOnce<K, V>(made: Map<K, V>, key: K, make: () => V): V {
	const known = made.get(key);
	if (known !== undefined) return known;
	const value = make();
	made.set(key, value);
	return value;
}

/** A question that was asked about the task of a slot, as it was before the move, and the answer. */
export interface Asked {
	readonly slot: number;
	readonly question: object;
	readonly answer: number;
}

/** All that was asked to find the moves in a state: a state with the same answers has the same moves. */
export class Trace {
	readonly asked: Asked[] = [];
	readonly #known = new Map<object, Set<number>>();
	/** The moves depend on more than questions. */
	opaque = false;

	note(slot: number, question: object, answer: number): void {
		const slots = this.#known.get(question);
		if (slots?.has(slot)) return;
		if (slots === undefined) this.#known.set(question, new Set([slot]));
		else slots.add(slot);
		this.asked.push({ slot, question, answer });
	}
}

/** A state on the way of a move. All questions about its tasks are noted. */
export class Position {
	readonly row: Row;
	readonly #trace: Trace;
	readonly #mappings: Mapping[];

	constructor(row: Row, trace: Trace, mappings: Mapping[] = []) {
		this.row = row;
		this.#trace = trace;
		this.#mappings = mappings;
	}

	/** The answer for the task of a slot. */
	ask(slot: number, question: Question): number {
		const answer = question.at(this.row[slot + 1]!);
		this.#trace.note(slot, (this.#mappings[slot] ?? NO_CHANGE).before(question), answer);
		return answer;
	}

	/** An answer that was found in another way; `question` stands for the question. */
	note(slot: number, question: object, answer: number): void {
		this.#trace.note(slot, question, answer);
	}

	/** `step` stands for what changes the task: with the same step, the same state becomes the same state. */
	change(slot: number, to: number, step: object): void {
		this.row[slot + 1] = to;
		this.#mappings[slot] = (this.#mappings[slot] ?? NO_CHANGE).followedBy(step);
	}

	setKernel({ id }: KernelState): void {
		this.row[0] = id;
	}

	/** What is found from here on depends on more than questions. */
	noteMore(): void {
		this.#trace.opaque = true;
	}

	copy(): Position {
		return new Position(this.row.slice(), this.#trace, this.#mappings.slice());
	}

	/** The tasks that were changed. */
	changes(): { readonly slot: number; readonly mapping: Mapping }[] {
		const changes: { slot: number; mapping: Mapping }[] = [];
		this.#mappings.forEach((mapping, slot) => {
			changes.push({ slot, mapping });
		});
		return changes;
	}
}
