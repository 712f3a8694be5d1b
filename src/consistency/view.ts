import type { Implementation, Livepatch } from "../linux/klp/index.js";
import type { Kaddr } from "../memory/index.js";
import type { WatchedFunction } from "./watched.js";

/** The implementations that a task would run, function by function. */
export interface View {
	/** Addresses: two entries with the same new function are the same implementation. 0 is the original. */
	readonly codes: readonly Kaddr[];
	readonly names: readonly string[];
	/** Address and size of the code. */
	readonly ranges: readonly (readonly [Kaddr, number])[];
}

const ORIGINAL = "original";
/** The module that has the function is not loaded: no task can run it. */
const ABSENT = "absent";
/** Code that means "absent". No code is at address 1. */
const ABSENT_CODE = 1;

function view(functions: readonly WatchedFunction[], choose: (old_func: Kaddr) => Implementation | undefined): View {
	const codes: Kaddr[] = [];
	const names: string[] = [];
	const ranges: (readonly [Kaddr, number])[] = [];
	for (const func of functions) {
		const { code, name, range } = implementationOf(func.resolve(), choose);
		codes.push(code);
		names.push(name);
		ranges.push(range);
	}
	return { codes, names, ranges };
}

/** The code of one function in a view. `there`: its address and size, see {@link WatchedFunction.resolve}. */
export function implementationOf(
	there: ReturnType<WatchedFunction["resolve"]>,
	choose: (old_func: Kaddr) => Implementation | undefined,
): { readonly code: Kaddr; readonly name: string; readonly range: readonly [Kaddr, number] } {
	if (there === undefined) return { code: ABSENT_CODE, name: ABSENT, range: [0, 0] };
	const chosen = choose(there.address);
	if (chosen === undefined) return { code: 0, name: ORIGINAL, range: [there.address, there.size] };
	return { code: chosen.new_func, name: chosen.new_name, range: [chosen.new_func, chosen.new_size] };
}

/** The implementations that a task in `patch_state` would run. */
export function viewFor(klp: Livepatch, functions: readonly WatchedFunction[], patch_state: number): View {
	return view(functions, (old_func) => klp.wouldRun(old_func, patch_state));
}

/** The implementations that the design promises, see {@link Livepatch.promised}. */
export function promisedView(klp: Livepatch, functions: readonly WatchedFunction[], when: "now" | "after"): View {
	return view(functions, (old_func) => klp.promised(when, old_func));
}

/**
 * Indexes of the functions for which two views differ. A function that is absent in one of them does not differ, nor does one that was
 * not watched yet in one of them.
 */
export function differences(a: View, b: View): number[] {
	const differs: number[] = [];
	if (a === b) return differs;
	for (let i = 0; i < a.codes.length && i < b.codes.length; i++) {
		if (a.codes[i] !== b.codes[i] && a.codes[i] !== ABSENT_CODE && b.codes[i] !== ABSENT_CODE) differs.push(i);
	}
	return differs;
}

/** `(original, lp2_funcB)` */
export function tuple(of: View): string {
	return `(${of.names.join(", ")})`;
}
