import type { AccessNotes, Effect, GuestContext, Read, TaskContent, TaskState, World } from "../world/index.js";
import type { KernelContent, KernelState, Via } from "./kernel-state.js";

/** What an execution has noted besides its result: see SharedMemory.addNotes() and Model.notes. */
export interface SentNotes {
	readonly memory: AccessNotes;
	readonly model: readonly unknown[];
}

/** A task state that a world in another thread has reached. */
export interface SentState {
	readonly content: TaskContent;
	readonly context: GuestContext;
}

/** An execution of a step of kernel code in another thread. Plain data, as all of these. */
export interface SentStep {
	/** Key of the kernel state. */
	readonly from: string;
	readonly actor: number;
	readonly late: boolean;
	readonly effect: Omit<Effect, "replaced" | "captured">;
	readonly replaced: ReadonlyMap<number, SentState>;
	/** A key: it has been sent before. */
	readonly to: KernelContent | string | undefined;
	readonly notes: SentNotes;
}

/** A step of kernel code that was executed. */
export interface MadeStep {
	readonly effect: Effect;
	/** Undefined: the actor must wait, or a task has died. */
	readonly to: KernelContent | undefined;
}

/**
 * What other threads have executed and the search has not asked for yet. An execution depends only on what it is found by here, so that
 * it does not matter who has made it; and as the search takes them in its own order, it gives the same numbers to what they have reached.
 */
export class Executions {
	readonly #steps = new Map<string, SentStep[]>();
	/** Keys of kernel states. */
	readonly #from = new Set<string>();
	/** All kernel states that were sent, by key. */
	readonly #kernels = new Map<string, KernelContent>();
	readonly #world: World;
	/** Number of functions that are watched. */
	readonly #watched: number;
	/** How many were taken. */
	taken = 0;

	/** `world`: that of the search, in which an exploration begins. It gets to know what is taken. */
	constructor(world: World) {
		this.#world = world;
		this.#watched = world.model.functions.length;
	}

	/** False: from here on, where code goes may depend on what was found in this thread only. */
	get isValid(): boolean {
		return this.#world.model.functions.length === this.#watched && !this.#world.hasUnknown;
	}

	add(steps: readonly SentStep[]): void {
		for (const step of steps) {
			if (typeof step.to === "object") this.#kernels.set(step.to.key, step.to);
			this.#from.add(step.from);
			entryOf(this.#steps, stepKey(step.from, step), () => []).push(step);
		}
	}

	/** Others have made steps from there. */
	knows({ key }: KernelState): boolean {
		return this.#from.has(key);
	}

	/** The result of a step; undefined: nobody has made it. */
	step(via: Via): MadeStep | undefined {
		if (!this.isValid) return undefined;
		const world = this.#world;
		const found = take(this.#steps, stepKey(via.from.key, via), ({ effect }) => isAsRead(effect.reads, via));
		if (found === undefined) return undefined;
		this.taken++;
		const to = typeof found.to === "string" ? this.#kernels.get(found.to)! : found.to;
		return { effect: effectOf(found, via, world), to };
	}
}

/** An effect as plain data. */
export type SentEffect = Pick<SentStep, "effect" | "replaced">;

/** As another world gets it. */
export function sentEffect({ replaced, captured, ...effect }: Effect): SentEffect {
	const states = [...replaced].map(([slot, state]) => {
		return [slot, { content: contentOf(state), context: captured.get(slot) ?? state.contexts[0]! }] as const;
	});
	return { effect, replaced: new Map(states) };
}

/** The effect of a step that another world has made, in this one, which gets to know what the other one has noted. */
export function effectOf(made: SentEffect & Pick<SentStep, "notes">, via: Via, world: World): Effect {
	note(world, made.notes);
	const replaced = new Map<number, TaskState>();
	const captured = new Map<number, GuestContext>();
	for (const [slot, { content, context }] of made.replaced) {
		replaced.set(slot, world.states.intern(content, context));
		captured.set(slot, context);
	}
	for (const [slot, written] of made.effect.writes) {
		const before = via.tasks[slot]!;
		if (!replaced.has(slot) && before.alive) world.states.withFields(before, written);
	}
	const reads = made.effect.reads.map((read) => ({ ...read, value: readBy(read, via) }));
	return { ...made.effect, reads, replaced, captured };
}

/** Of a kernel state: what any world says about it. */
export function kernelContent(state: KernelState): KernelContent {
	const { id: _id, via: _via, distance: _distance, saved: _saved, text: _text, look: _look, ...content } = state;
	return content;
}

/** Of a task state: what it is made from. */
export function contentOf(state: TaskState): SentState["content"] {
	const { slot, fields, alive, running, handler, core, chosen, entries, inside, entriesKey } = state;
	return { slot, fields, alive, running, handler, core, chosen, entries, inside, entriesKey };
}

function stepKey(from: string, { actor, late }: { readonly actor: number; readonly late: boolean }): string {
	return `${from} ${actor} ${late}`;
}

/** The entry of a key, which is made if there is none. */
export function entryOf<K, T>(entries: Map<K, T>, key: K, make: () => T): T {
	const known = entries.get(key);
	if (known !== undefined) return known;
	const made = make();
	entries.set(key, made);
	return made;
}

/** Takes the first that is wanted out of a list. */
function take<T>(lists: Map<string, T[]>, key: string, isWanted: (one: T) => boolean): T | undefined {
	const list = lists.get(key);
	const index = list?.findIndex(isWanted) ?? -1;
	if (index < 0) return undefined;
	const [found] = list!.splice(index, 1);
	if (list!.length === 0) lists.delete(key);
	return found;
}

/** What the step reads from the tasks, before it. */
function readBy({ slot, field }: Read, { tasks, busy }: Via): unknown {
	if (field === "on_cpu") return busy.has(slot);
	return field === "entries" ? tasks[slot]!.entriesKey : tasks[slot]!.fields[field];
}

/** True if a step that has read this would read the same again. */
export function isAsRead(reads: readonly Read[], via: Via): boolean {
	return reads.every((read) => isEqual(read.value, readBy(read, via)));
}

function isEqual(a: unknown, b: unknown): boolean {
	return Object.is(a, b) || (Array.isArray(a) && JSON.stringify(a) === JSON.stringify(b));
}

export function isSameContext(a: GuestContext, b: GuestContext): boolean {
	if (a === b) return true;
	if (a.words.length !== b.words.length || a.stack.length !== b.stack.length) return false;
	if (JSON.stringify(a.origins) !== JSON.stringify(b.origins)) return false;
	return a.words.every((word, i) => word === b.words[i]) && a.stack.every((byte, i) => byte === b.stack[i]);
}

function note(world: World, { memory, model }: SentNotes): void {
	world.shared.addNotes(memory);
	if (model.length > 0) world.model.notes?.add(model);
}
