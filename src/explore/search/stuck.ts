import { type Column, TASK } from "./columns.js";
import type { KernelState } from "./kernel-state.js";
import { markLeading } from "./shares.js";
import type { StateTable } from "./state-table.js";

/** A state is an end if the number of its kernel state has 1 here, or that of the state of one of its tasks. */
export interface Ends {
	readonly kernels: Uint8Array;
	readonly tasks: Uint8Array;
}

/** A state from which something never ends. */
export interface Endless {
	readonly state: number;
	readonly message: string;
}

/**
 * `deadlock`: a state in which kernel code runs, and from which no schedule leads to the end of all kernel code that runs. If each
 * actor could come to the end of its own, one after the other could. `tasks`: number of task states.
 */
export function endsOfDeadlock(kernels: readonly KernelState[], tasks: number): Ends {
	const isQuiet = ({ inKernel }: KernelState) => inKernel.every((place) => place === undefined);
	return { kernels: Uint8Array.from(kernels, (kernel) => Number(isQuiet(kernel))), tasks: new Uint8Array(tasks) };
}

/**
 * `stuck`: a state in a transition from which no schedule leads to its end, nor to a state in which a task sleeps that has yet to
 * switch: such a task delays a transition rightly. `bits`: those of {@link TASK}, of each of the task states.
 */
export function endsOfStuck(kernels: readonly KernelState[], tasks: number, bits: Column): Ends {
	const rightly = TASK.asleep | TASK.pending;
	return {
		kernels: Uint8Array.from(kernels, ({ inTransition }) => Number(inTransition === undefined)),
		tasks: Uint8Array.from({ length: tasks }, (_, task) => Number((bits.at(task) & rightly) === rightly)),
	};
}

/** Says what is wrong in the states from which no way leads to an end of {@link endsOfDeadlock}. */
export function tellDeadlock(
	doomed: readonly number[],
	table: StateTable,
	kernels: readonly KernelState[],
	actors: readonly { readonly name: string }[],
): Endless | undefined {
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

/** The same for {@link endsOfStuck}. */
export function tellStuck(
	[state]: readonly number[],
	table: StateTable,
	kernels: readonly KernelState[],
): Endless | undefined {
	if (state === undefined) return undefined;
	const { inTransition } = kernels[table.first(state)]!;
	return { state, message: `the transition of ${inTransition} can never end, although no task sleeps` };
}

/** By state: 1 if it is an end. */
export function endsIn(table: StateTable, { kernels, tasks }: Ends): Uint8Array {
	const whole = table.whole();
	return Uint8Array.from({ length: table.length }, (_, state) => {
		table.read(state, whole);
		return Number(kernels[whole[0]!] === 1 || whole.subarray(1, table.width).some((task) => tasks[task] === 1));
	});
}

/**
 * States from which no way leads to one of `ends`. All states must be there. `leadsTo` says whether a move leads from a state to a marked
 * one.
 */
export function statesWithoutEnd(ends: Uint8Array, leadsTo: (state: number, marked: Uint8Array) => boolean): number[] {
	return unmarked(markLeading(ends.slice(), leadsTo));
}

/** The states that have no 1. */
export function unmarked(marked: Uint8Array): number[] {
	const without: number[] = [];
	for (let state = 0; state < marked.length; state++) if (marked[state] !== 1) without.push(state);
	return without;
}
