import { type Column, TASK } from "./columns.js";
import type { KernelState } from "./kernel-state.js";
import type { StateTable } from "./state-table.js";

/** All states of a search. */
export interface Graph {
	readonly table: StateTable;
	/** By number. */
	readonly kernels: readonly KernelState[];
	/** A move of this state leads to a marked one. */
	leadsTo(state: number, marked: Uint8Array): boolean;
}

/** A state from which something never ends. */
export interface Endless {
	readonly state: number;
	readonly message: string;
}

/**
 * `deadlock`: a state in which kernel code runs, and from which no schedule leads to the end of all kernel code that runs. If each
 * actor could come to the end of its own, one after the other could.
 */
export function findDeadlock(graph: Graph, actors: readonly { readonly name: string }[]): Endless | undefined {
	const { table, kernels } = graph;
	const doomed = deadlocked(graph);
	const places = (state: number) => kernels[table.first(state)]!.inKernel;
	const waits = (state: number) => places(state).findIndex((place) => place?.waits);
	// Where an actor waits already, it is easier to see why.
	const state = doomed.find((one) => waits(one) >= 0) ?? doomed[0];
	if (state === undefined) return undefined;
	const actor = waits(state) >= 0 ? waits(state) : places(state).findIndex((place) => place !== undefined);
	const { name } = actors[actor]!;
	const { label } = places(state)[actor]!;
	const message = waits(state) >= 0 ? `${name} waits for ever: ${label}` : `${name} never comes to the end of ${label}`;
	return { state, message };
}

/** All such states. */
export function deadlocked({ table, kernels, leadsTo }: Graph): number[] {
	const isQuiet = kernels.map(({ inKernel }) => inKernel.every((place) => place === undefined));
	const ends = new Uint8Array(table.length);
	for (let state = 0; state < ends.length; state++) if (isQuiet[table.first(state)]) ends[state] = 1;
	return statesWithoutEnd(ends, leadsTo);
}

/**
 * `stuck`: a state in a transition from which no schedule leads to its end, nor to a state in which a task sleeps that has yet to
 * switch: such a task delays a transition rightly. `bits`: those of {@link TASK}.
 */
export function findStuck(graph: Graph, bits: Column): Endless | undefined {
	const { table, kernels } = graph;
	const [state] = stuckStates(graph, bits);
	if (state === undefined) return undefined;
	const { inTransition } = kernels[table.first(state)]!;
	return { state, message: `the transition of ${inTransition} can never end, although no task sleeps` };
}

/** All such states. */
export function stuckStates({ table, kernels, leadsTo }: Graph, bits: Column): number[] {
	const rightly = TASK.asleep | TASK.pending;
	const whole = table.whole();
	const ends = new Uint8Array(table.length);
	for (let state = 0; state < ends.length; state++) {
		let isEnd = kernels[table.first(state)]!.inTransition === undefined;
		if (!isEnd) table.read(state, whole);
		for (let i = 1; i < table.width && !isEnd; i++) isEnd = (bits.at(whole[i]!) & rightly) === rightly;
		if (isEnd) ends[state] = 1;
	}
	return statesWithoutEnd(ends, leadsTo);
}

/**
 * States from which no way leads to one of `ends`. All states must be there. Moves are not stored, but made again:
 * `leadsTo` says whether a move leads from a state to a marked one.
 */
export function statesWithoutEnd(ends: Uint8Array, leadsTo: (state: number, marked: Uint8Array) => boolean): number[] {
	const marked = ends.slice();
	// Most moves lead to a state with a higher number, so that few rounds are needed.
	for (let found = true; found; ) {
		found = false;
		for (let state = marked.length - 1; state >= 0; state--) {
			if (marked[state] || !leadsTo(state, marked)) continue;
			marked[state] = 1;
			found = true;
		}
	}
	const without: number[] = [];
	for (let state = 0; state < marked.length; state++) if (!marked[state]) without.push(state);
	return without;
}
