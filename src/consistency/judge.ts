import type { TaskState, World } from "../explore/index.js";
import { KLP_TRANSITION_IDLE, type Klp, type klp_patch, onStack } from "../linux/klp/index.js";
import { type Kaddr, PERM, toKaddr } from "../memory/index.js";
import type { Invariant } from "../report/index.js";
import { ABSENT, type Choice, codeOf, implementation, resolveView, type WatchedFunction } from "./invariants.js";

/** A broken invariant, in words. */
export interface Broken {
	readonly invariant: Invariant;
	readonly message: string;
	readonly task?: string;
	/** The task has died of it. */
	readonly died?: boolean;
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
export function promisedView(
	klp: Klp,
	functions: readonly WatchedFunction[],
	enabled: readonly klp_patch[],
): NamedView {
	return named(functions, (address) => klp.design.promise(enabled, address));
}

/** The functions for which two views differ; one that is not there in either does not. */
function differences(a: NamedView, b: NamedView): number[] {
	const differs: number[] = [];
	for (let i = 0; i < a.codes.length; i++) {
		if (a.codes[i] !== b.codes[i] && a.codes[i] !== ABSENT_CODE && b.codes[i] !== ABSENT_CODE) differs.push(i);
	}
	return differs;
}

/** What there is to be seen of a kernel between two steps. */
export interface KernelLook {
	/** What tasks run, by patch_state + 1. */
	readonly views: readonly NamedView[];
	/** During a transition: what everybody ran before it, and what the design promises for after it. */
	readonly before: NamedView | undefined;
	readonly after: NamedView | undefined;
	/** What the enabled patches promise. */
	readonly promised: NamedView;
	/** Name of the patch in transition. */
	readonly inTransition: string | undefined;
	/** Executable memory: start and end, in turn. */
	readonly executable: readonly number[];
	/** func_stack of each function, newest first. */
	readonly stacks: readonly (readonly string[])[];
}

/** Looks at a world as it is now. */
export function lookAt(world: World): KernelLook {
	const { machine, functions } = world.model;
	const { klp } = machine;
	const enabled = klp.klp_patches.filter((patch) => patch.enabled);
	return {
		views: [-1, 0, 1].map((patch_state) => viewFor(klp, functions, patch_state)),
		before: world.before,
		after: world.after,
		promised: promisedView(klp, functions, enabled),
		inTransition: klp.transition.klp_transition_patch?.name,
		executable: machine.memory.regions
			.filter(({ perm }) => (perm & PERM.EXEC) !== 0)
			.flatMap(({ address, length }) => [toKaddr(address), toKaddr(address) + length]),
		stacks: functions.map((func) => {
			const there = func.resolve();
			const ops = there === undefined ? undefined : klp.patching.klp_find_ops(there.address);
			return [...(ops?.func_stack ?? [])].map((entry) => (entry.nop ? "nop" : entry.new_name));
		}),
	};
}

/** A state as it is judged. */
export interface Judged {
	readonly kernel: KernelLook;
	readonly tasks: readonly TaskState[];
}

/** The point at which a transition is over. */
export const COMPLETED = "klp_complete_transition: done";

/** What one step of kernel code, which came to `label`, has broken. */
export function judgeMove(
	functions: readonly WatchedFunction[],
	names: readonly string[],
	from: Judged,
	to: Judged,
	label: string,
): Broken[] {
	const broken: Broken[] = [];
	for (const [slot, name] of names.entries()) {
		const found = judgeTask(functions, name, from.kernel, from.tasks[slot]!, to.kernel, to.tasks[slot]!);
		if (found !== undefined) broken.push(found);
	}
	if (label === COMPLETED) {
		const lost = judgeCompletion(functions, to.kernel.views[0]!, to.kernel.promised);
		if (lost !== undefined) broken.push(lost);
	}
	for (const [slot, name] of names.entries()) {
		if (from.kernel.executable.length === to.kernel.executable.length) break;
		const { entries } = to.tasks[slot]!;
		if ((entries ?? []).every((entry) => isExecutable(to.kernel, entry))) continue;
		broken.push({
			invariant: "freed-text",
			task: name,
			message: `${name} will return to text that has just been unmapped`,
		});
	}
	return broken;
}

function isExecutable({ executable }: KernelLook, address: Kaddr): boolean {
	for (let i = 0; i < executable.length; i += 2) {
		if (address >= executable[i]! && address < executable[i + 1]!) return true;
	}
	return false;
}

/** What one task has broken, or is made to break, in one step. */
export function judgeTask(
	functions: readonly WatchedFunction[],
	name: string,
	from: KernelLook,
	before: TaskState,
	to: KernelLook,
	after: TaskState,
): Broken | undefined {
	if (!before.alive || !after.alive) return undefined;
	const view = to.views[(after.fields.patch_state as number) + 1]!;
	const was = from.views[(before.fields.patch_state as number) + 1]!;
	const step = judgeStep(functions, name, was, before, view, after);
	if (step !== undefined) return step;
	if (to.inTransition === undefined || to.before === undefined || to.after === undefined) return undefined;
	return judgeTuple(name, view, to.before, to.after);
}

/** `sudden-change` and `switched-on-stack`. */
function judgeStep(
	functions: readonly WatchedFunction[],
	task: string,
	wasView: NamedView,
	before: TaskState,
	view: NamedView,
	after: TaskState,
): Broken | undefined {
	const [was, is] = [before.fields.patch_state, after.fields.patch_state];
	const switched = was !== KLP_TRANSITION_IDLE && is !== KLP_TRANSITION_IDLE && was !== is;
	for (const index of differences(wasView, view)) {
		const [left, taken] = [wasView.names[index]!, view.names[index]!];
		const func = functions[index]!.name;
		if (!switched) {
			const message = `${task} goes from ${left} to ${taken} for ${func}, although it does not switch there`;
			return { invariant: "sudden-change", task, message };
		}
		const why = isIn(after, wasView.ranges[index]!);
		if (why === undefined) continue;
		const what = left === "original" ? `the original ${func}` : left;
		const message = `${task} switches from ${left} to ${taken} for ${func}, while ${what} ${why}`;
		return { invariant: "switched-on-stack", task, message };
	}
	return undefined;
}

function isIn({ entries, chosen }: TaskState, [address, size]: readonly [Kaddr, number]): string | undefined {
	if (entries === undefined) return "may be on its stack, which cannot be walked";
	if (onStack(entries, address, size)) return "is on its stack";
	if (chosen === address) return "is what its trampoline is about to jump to";
	return undefined;
}

/** `mixed-universe`: during a transition, a task's whole tuple is the one before or the one after. */
function judgeTuple(task: string, view: NamedView, before: NamedView, after: NamedView): Broken | undefined {
	if (differences(view, before).length === 0 || differences(view, after).length === 0) return undefined;
	const tuple = (of: NamedView) => `(${of.names.join(", ")})`;
	const message = `${task} runs ${tuple(view)}: neither ${tuple(before)} as before the transition nor ${tuple(after)} as after it`;
	return { invariant: "mixed-universe", task, message };
}

/** `lost-patch`: what everybody runs when a transition is over. */
function judgeCompletion(
	functions: readonly WatchedFunction[],
	view: NamedView,
	promised: NamedView,
): Broken | undefined {
	const [index] = differences(view, promised);
	if (index === undefined) return undefined;
	const func = functions[index]!.name;
	const message = `after the transition ${func} is ${view.names[index]}, while the enabled patches promise ${promised.names[index]}`;
	return { invariant: "lost-patch", message };
}
