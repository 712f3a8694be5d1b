import {
	KLP_TRANSITION_IDLE,
	KLP_TRANSITION_PATCHED,
	KLP_TRANSITION_UNPATCHED,
	type Livepatch,
} from "../linux/klp/index.js";
import type { Machine } from "../machine/index.js";
import { type Kaddr, type Memory, PERM, toKaddr } from "../memory/index.js";
import { promisedView, type View, viewFor } from "./view.js";
import type { WatchedFunction } from "./watched.js";

/** The implementations before and after a transition. */
export interface FromTo {
	/** The implementations that each task ran before it. */
	readonly before: View;
	/** The implementations that the design promises after it. */
	readonly after: View;
}

/** To be called when a transition has been initialised, before any task can see a change. */
export function fromTo({ klp }: Machine, functions: readonly WatchedFunction[]): FromTo {
	return { before: viewFor(klp, functions, KLP_TRANSITION_IDLE), after: promisedView(klp, functions, "after") };
}

/** The state of the kernel between two steps on which invariants depend, without the tasks. */
export interface Look {
	/** The implementations that tasks run, by patch_state + 1. */
	readonly views: readonly View[];
	/** Of the running transition, or of the last one. */
	readonly fromTo: FromTo | undefined;
	/** The implementations that the enabled patches promise. */
	readonly promised: View;
	/** Name of the patch in transition. */
	readonly inTransition: string | undefined;
	/** Executable memory: start and end, in turn. */
	readonly executable: readonly number[];
	/** func_stack of each function, newest first. */
	readonly stacks: readonly (readonly string[])[];
}

/** Reads the present state of a machine. `transition`: see {@link Look.fromTo}. */
export function lookAt(machine: Machine, functions: readonly WatchedFunction[], transition: FromTo | undefined): Look {
	const { klp, memory } = machine;
	return {
		views: [KLP_TRANSITION_IDLE, KLP_TRANSITION_UNPATCHED, KLP_TRANSITION_PATCHED].map((patch_state) =>
			viewFor(klp, functions, patch_state),
		),
		fromTo: transition,
		promised: promisedView(klp, functions, "now"),
		inTransition: klp.inTransition,
		executable: executableOf(memory),
		stacks: functions.map((func) => stackOf(klp, func.resolve())),
	};
}

/** See {@link Look.executable}. */
export function executableOf({ regions }: Memory): number[] {
	return regions
		.filter(({ perm }) => (perm & PERM.EXEC) !== 0)
		.flatMap(({ address, length }) => [toKaddr(address), toKaddr(address) + length]);
}

/** See {@link Look.stacks}. */
export function stackOf(klp: Livepatch, there: ReturnType<WatchedFunction["resolve"]>): string[] {
	const entries = there === undefined ? [] : klp.funcStack(there.address);
	return entries.map((entry) => (entry.nop ? "nop" : entry.new_name));
}

/** The implementations that a task in `patch_state` would run. */
export function viewOf({ views }: Look, patch_state: number): View {
	return views[patch_state - KLP_TRANSITION_IDLE]!;
}

export function isExecutable({ executable }: Look, address: Kaddr): boolean {
	for (let i = 0; i < executable.length; i += 2) {
		if (address >= executable[i]! && address < executable[i + 1]!) return true;
	}
	return false;
}

/** True if the same text is mapped in both. */
export function sameText(a: Look, b: Look): boolean {
	if (a.executable === b.executable) return true;
	return a.executable.length === b.executable.length && a.executable.every((address, i) => address === b.executable[i]);
}
