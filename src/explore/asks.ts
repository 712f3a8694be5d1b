import { type Design, fieldAccesses } from "../linux/klp/index.js";

/** Observers call these too, and what a handler takes is no part of a step of kernel code: whoever compares designs compares them first. */
const OF_HANDLER: readonly PropertyKey[] = ["sees", "looks", "handler"];

/** What kernel code has asked a design for. */
export interface Asked {
	/** The members, with their values in this design: under another one with the same values, all goes the same way. */
	readonly members: ReadonlyMap<PropertyKey, unknown>;
	/** The answers, in their order. If fields of patches have decided in another way, too, these are no other design's answers. */
	readonly answers: string;
	/** A field was read or written, also by a member. */
	readonly fields: boolean;
}

/** A design that notes what it is asked for, in the place of another one. */
export class DesignAsks {
	/** Behaves as the other one. */
	readonly design: Design;
	readonly #other: Design;
	/** By name, the functions that stand for those of the other design. */
	readonly #noting = new Map<PropertyKey, unknown>();
	#members = new Map<PropertyKey, unknown>();
	#answers: string[] = [];
	/** The value of {@link fieldAccesses} when the notes began, and how many since then are in answers. */
	#begin = 0;
	#answered = 0;

	constructor(other: Design) {
		this.#other = other;
		this.design = new Proxy(other, { get: (_, name) => this.#get(name) });
	}

	/** Forgets what it was asked for so far. */
	begin(): void {
		this.#members = new Map();
		this.#answers = [];
		this.#begin = fieldAccesses.count;
		this.#answered = 0;
	}

	/** What it was asked for since then. */
	get asked(): Asked {
		const accesses = fieldAccesses.count - this.#begin;
		const answers = accesses === this.#answered ? this.#answers.join() : `fields of ${this.#other.name}`;
		return { members: new Map(this.#members), answers, fields: accesses > 0 };
	}

	/** The design has members with these values. */
	has(members: Asked["members"]): boolean {
		for (const [name, value] of members) if (Reflect.get(this.#other, name) !== value) return false;
		return true;
	}

	#get(name: PropertyKey): unknown {
		const value: unknown = Reflect.get(this.#other, name);
		if (OF_HANDLER.includes(name)) return value;
		this.#members.set(name, value);
		if (typeof value !== "function") {
			this.#answers.push(`${String(name)}=${idOf(value)}`);
			return value;
		}
		let noting = this.#noting.get(name);
		if (noting === undefined) {
			noting = (...given: unknown[]) => this.#call(name, value as Member, given);
			this.#noting.set(name, noting);
		}
		return noting;
	}

	#call(name: PropertyKey, member: Member, given: unknown[]): unknown {
		const [before, answered] = [fieldAccesses.count, this.#answered];
		const answer: unknown = member.apply(this.design, given);
		const isObject = typeof answer === "object" && answer !== null;
		// Behind a plain answer it does not matter how it was found. An object, such as a generator, goes on by itself.
		if (!isObject) this.#answered = answered + (fieldAccesses.count - before);
		this.#answers.push(`${String(name)}=${isObject ? idOf(member) : String(answer)}`);
		return answer;
	}
}

type Member = (...given: unknown[]) => unknown;

const ids = new Map<unknown, number>();

/** The same for the same object or function, and its text for other data. */
function idOf(value: unknown): string {
	if ((typeof value !== "object" || value === null) && typeof value !== "function") return String(value);
	if (!ids.has(value)) ids.set(value, ids.size);
	return `#${ids.get(value)}`;
}
