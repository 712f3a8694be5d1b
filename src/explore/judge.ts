import { type Klp, type klp_patch, onStack } from "../klp/index.js";
import type { Kaddr } from "../memory/index.js";
import type { Invariant } from "../report/index.js";
import { ABSENT, type Choice, codeOf, implementation, resolveView, type WatchedFunction } from "./invariants.js";

/** A broken invariant, in words. */
export interface Broken {
	readonly invariant: Invariant;
	readonly message: string;
	readonly task?: string;
}

/** What somebody would run, function by function. */
export interface NamedView {
	/** Addresses: two entries with the same new function are the same implementation. */
	readonly codes: readonly Kaddr[];
	readonly names: readonly string[];
	/** Sizes of the code, and where the original is. */
	readonly ranges: readonly (readonly [Kaddr, number])[];
}

function named(functions: readonly WatchedFunction[], choose: (address: Kaddr) => Choice): NamedView {
	const choices = functions.map((func): readonly [Choice, readonly [Kaddr, number]] => {
		const there = func.resolve();
		if (there === undefined) return [ABSENT, [0, 0]];
		const choice = choose(there.address);
		if (choice === undefined || choice === ABSENT) return [choice, [there.address, there.size]];
		return [choice, [choice.new_func, choice.new_size]];
	});
	return {
		codes: choices.map(([choice]) => (choice === ABSENT ? ABSENT_CODE : codeOf(choice))),
		names: choices.map(([choice]) => implementation(choice)),
		ranges: choices.map(([, range]) => range),
	};
}

/** No code is at address 1: stands for a function whose module is not loaded. */
const ABSENT_CODE = 1;

/** What a task in `patch_state` would run. */
export function viewFor(klp: Klp, functions: readonly WatchedFunction[], patch_state: number): NamedView {
	return named(functions, (address) => resolveView(klp, address, patch_state));
}

/** What the design promises while `enabled` are enabled and no transition runs. */
export function promisedView(klp: Klp, functions: readonly WatchedFunction[], enabled: readonly klp_patch[]): NamedView {
	return named(functions, (address) => klp.design.promise(enabled, address));
}

/** The functions for which two views differ; one that is not there in either does not. */
export function differences(a: NamedView, b: NamedView): number[] {
	const differs: number[] = [];
	for (let i = 0; i < a.codes.length; i++) {
		if (a.codes[i] !== b.codes[i] && a.codes[i] !== ABSENT_CODE && b.codes[i] !== ABSENT_CODE) differs.push(i);
	}
	return differs;
}

export interface Judged {
	readonly patch_state: number;
	readonly entries: readonly Kaddr[] | undefined;
	readonly chosen: Kaddr | undefined;
}

/** IDLE: outside of any transition. */
const IDLE = -1;

/** `sudden-change` and `switched-on-stack`: one task before a step and after it. */
export function judgeStep(
	functions: readonly WatchedFunction[],
	task: string,
	before: { readonly view: NamedView; readonly patch_state: number },
	after: { readonly view: NamedView } & Judged,
): Broken | undefined {
	const differs = differences(before.view, after.view);
	if (differs.length === 0) return undefined;
	const inTransition = before.patch_state !== IDLE && after.patch_state !== IDLE;
	const switched = inTransition && before.patch_state !== after.patch_state;
	for (const index of differs) {
		const [was, is] = [before.view.names[index], after.view.names[index]];
		const func = functions[index]!.name;
		if (!switched) {
			const message = `${task} goes from ${was} to ${is} for ${func}, although it does not switch there`;
			return { invariant: "sudden-change", task, message };
		}
		const why = isIn(after, before.view.ranges[index]!);
		if (why === undefined) continue;
		const name = was === "original" ? `the original ${func}` : was;
		return { invariant: "switched-on-stack", task, message: `${task} switches from ${was} to ${is} for ${func}, while ${name} ${why}` };
	}
	return undefined;
}

function isIn({ entries, chosen }: Judged, [address, size]: readonly [Kaddr, number]): string | undefined {
	if (entries === undefined) return "may be on its stack, which cannot be walked";
	if (onStack(entries, address, size)) return "is on its stack";
	if (chosen === address) return "is what its trampoline is about to jump to";
	return undefined;
}

/** `mixed-universe`: during a transition, a task's whole tuple is the one before or the one after. */
export function judgeTuple(task: string, view: NamedView, before: NamedView, after: NamedView): Broken | undefined {
	if (differences(view, before).length === 0 || differences(view, after).length === 0) return undefined;
	const tuple = (of: NamedView) => `(${of.names.join(", ")})`;
	const message = `${task} runs ${tuple(view)}: neither ${tuple(before)} as before the transition nor ${tuple(after)} as after it`;
	return { invariant: "mixed-universe", task, message };
}

/** `lost-patch`: what everybody runs when a transition is over. */
export function judgeCompletion(functions: readonly WatchedFunction[], view: NamedView, promised: NamedView): Broken | undefined {
	const [index] = differences(view, promised);
	if (index === undefined) return undefined;
	const func = functions[index]!.name;
	const message = `after the transition ${func} is ${view.names[index]}, while the enabled patches promise ${promised.names[index]}`;
	return { invariant: "lost-patch", message };
}
