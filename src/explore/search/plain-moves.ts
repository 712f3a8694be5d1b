import type { HandlerRules } from "../../linux/klp/index.js";
import {
	type AccessNotes,
	type GuestContext,
	guestConstants,
	type TaskContent,
	type TaskOutcome,
	type TaskState,
	type World,
} from "../world/index.js";
import { contentOf, entryOf, isSameContext } from "./executions.js";
import type { KernelState } from "./kernel-state.js";

interface PlainMove {
	/** Where it begins. */
	readonly from: GuestContext;
	readonly next: TaskContent;
	/** Where it ends. */
	readonly context: GuestContext;
	readonly label: string;
	/** About memory. */
	readonly notes: AccessNotes;
}

/**
 * Moves of tasks that explorations of one scenario have made, each under a design of its own: what guest code does follows from what
 * it sees, and the designs have most of that in common. The data that objects begin with is that of the scenario. Only moves that are {@link TaskOutcome.plain}.
 */
export class PlainMoves {
	/** By what guest code sees, then by the state of the task. */
	readonly #moves = new Map<number, Map<string, PlainMove[]>>();
	/** All that guest code has seen, as numbers. */
	readonly #numbers = new Map<string, number>();
	/** What the handlers of the designs ask. */
	readonly #rules: HandlerRules["sees"][] = [];
	/** How many were taken. */
	taken = 0;

	/** For one exploration; undefined: it has nothing in common with others. `world` is where an exploration begins. */
	begin(world: World): ExplorationMoves | undefined {
		const { handlerRules: rules } = world.model.machine.klp;
		if (rules === undefined || rules.handler !== undefined) return undefined;
		if (!this.#rules.includes(rules.sees)) this.#rules.push(rules.sees);
		world.wantsNotes = true;
		const { writtenByTasks: _, ...memory } = world.shared.known();
		const known = JSON.stringify([memory, [...world.states.decisive.known()], world.names, world.actors.length]);
		return new ExplorationMoves(this, world, `${this.#rules.indexOf(rules.sees)} ${rules.looks} ${known}`);
	}

	number(seen: string): number {
		const number = this.#numbers.get(seen) ?? this.#numbers.size;
		this.#numbers.set(seen, number);
		return number;
	}

	/** The list of the moves from a state of a task. */
	from(seen: number, task: string): PlainMove[] {
		const byTask = entryOf(this.#moves, seen, () => new Map<string, PlainMove[]>());
		return entryOf(byTask, task, () => []);
	}
}

/** {@link PlainMoves}, for one exploration. */
export class ExplorationMoves {
	readonly #all: PlainMoves;
	readonly #world: World;
	readonly #rules: string;
	/** By text: all that guest code sees, as a number; undefined: the exploration was in no such state yet. */
	readonly #seen: (number | undefined)[] = [];
	/** Number of functions that are watched. */
	readonly #watched: number;

	constructor(all: PlainMoves, world: World, rules: string) {
		this.#all = all;
		this.#world = world;
		this.#rules = rules;
		this.#watched = world.model.functions.length;
	}

	/** The world is in this state now. */
	arrive({ text, guest }: KernelState): void {
		this.#seen[text] ??= this.#all.number(`${this.#rules} ${guest} ${guestConstants(this.#world.model)}`);
	}

	/** The world is not in this state, but another one was, which has seen this. */
	enter({ text }: KernelState, seen: number): void {
		this.#seen[text] ??= seen;
	}

	/** What guest code sees in a state; undefined: the exploration was not there. */
	seen({ text }: KernelState): number | undefined {
		return this.#seen[text];
	}

	/** Undefined: nobody has made it. */
	find({ text }: KernelState, slot: number, task: TaskState, context: GuestContext): TaskOutcome | undefined {
		const seen = this.#seen[text];
		if (seen === undefined || !this.isValid) return undefined;
		const world = this.#world;
		const isIt = ({ from, notes }: PlainMove) => isSameContext(from, context) && world.shared.isAsKnown(notes);
		const found = this.#all.from(seen, task.key).find(isIt);
		if (found === undefined) return undefined;
		this.#all.taken++;
		world.shared.addNotes(found.notes);
		const state = world.states.intern(found.next, found.context);
		world.noteLoop(slot, state, {});
		return { state, context: found.context, label: found.label, broken: [] };
	}

	add({ text }: KernelState, task: TaskState, from: GuestContext, outcome: TaskOutcome): void {
		const seen = this.#seen[text];
		const { plain: notes, state, context, label } = outcome;
		if (seen === undefined || notes === undefined || !this.isValid || isOfLoop(from) || isOfLoop(context)) return;
		// What was not known when the move began may have changed its way.
		if (!this.#world.shared.isAsKnown(notes)) return;
		this.#all.from(seen, task.key).push({ from, next: contentOf(state), context, label, notes });
	}

	/** Where code goes does not depend on what this exploration has found. */
	get isValid(): boolean {
		const { model, hasUnknown } = this.#world;
		return model.functions.length === this.#watched && !hasUnknown;
	}
}

/** Some data comes from a loop, by a number that only one exploration knows. */
function isOfLoop({ origins }: GuestContext): boolean {
	if (origins === undefined) return false;
	return origins.registers.some((origin) => origin > 0) || origins.stack.some(([, origin]) => origin > 0);
}
