import type { KlpemuError } from "../base/index.js";
import type { Fault } from "../cpu/index.js";
import { KLP_TRANSITION_IDLE } from "../linux/klp/index.js";
import type { task_struct } from "../linux/sched/index.js";
import { LAYOUT, type Machine } from "../machine/index.js";
import { hex, type Kaddr, toU64 } from "../memory/index.js";
import type { Invariant } from "./invariants.js";
import { type FromTo, isExecutable, type Look, sameText, viewOf } from "./look.js";
import { differences, tuple, type View } from "./view.js";
import type { WatchedFunction } from "./watched.js";

/** A broken invariant. */
export interface Broken {
	readonly invariant: Invariant;
	readonly message: string;
	/** Name of the task that breaks it, or that another task causes to break it. */
	readonly task?: string;
	/** The affected function, and its implementation before and after. */
	readonly func?: string;
	readonly from?: string;
	readonly to?: string;
	/** The task has died of it. */
	readonly died?: boolean;
}

/** A task between two steps. */
export interface JudgedTask {
	/** The task is on the task list. */
	readonly alive: boolean;
	/** It has left the task list and is in the rest of do_exit(): no transition finds it, and only text that goes matters. */
	readonly exiting: boolean;
	readonly patch_state: number;
	/** Addresses on its stack, innermost first; undefined: the stack cannot be walked reliably. */
	readonly entries: readonly Kaddr[] | undefined;
	/** The functions that these addresses are in, see functionsInside(). */
	readonly inside: readonly Kaddr[];
	/** The addresses, up to the end of the walk: a walk is unreliable from the first address in unmapped text on. */
	readonly found: readonly Kaddr[];
	/** The address that its trampoline is about to jump to, see {@link chosenOn}. */
	readonly chosen: Kaddr | undefined;
}

/** Two moments with one step in between. */
export interface Step {
	readonly functions: readonly WatchedFunction[];
	readonly from: Look;
	readonly to: Look;
	/** The point that kernel code has reached, for messages. Undefined: messages do not name the point. */
	readonly point?: string;
}

/**
 * All invariants that one step breaks. `names`, `before` and `after` are the tasks that are judged; `before` is
 * undefined for a task that did not exist. `completed`: with this step a transition has ended.
 */
export function judgeStep(
	step: Step,
	names: readonly string[],
	before: readonly (JudgedTask | undefined)[],
	after: readonly JudgedTask[],
	completed: boolean,
): Broken[] {
	const broken: Broken[] = [];
	// Many tasks run the same functions: the result for one task is reused for the other tasks.
	const mixed: Mixed = new Map();
	for (const [i, name] of names.entries()) broken.push(...judgeTask(step, name, before[i], after[i]!, mixed));
	if (completed) broken.push(...judgeCompletion(step));
	if (sameText(step.from, step.to)) return broken;
	for (const [i, name] of names.entries()) broken.push(...judgeText(step, name, after[i]!));
	return broken;
}

/** The invariants that one task breaks in one step: `sudden-change` or `switched-on-stack`, and `mixed-universe`. */
export function judgeTask(
	step: Step,
	task: string,
	before: JudgedTask | undefined,
	after: JudgedTask,
	mixed?: Mixed,
): Broken[] {
	if (!after.alive || after.exiting) return [];
	const is = viewOf(step.to, after.patch_state);
	const broken: Broken[] = [];
	if (before?.alive) {
		const was = viewOf(step.from, before.patch_state);
		const changed = switched(before, after) ? leaves : sudden;
		for (const index of differences(was, is)) broken.push(...changed(step, task, after, was, is, index));
	}
	broken.push(...judgeTuple(step, task, is, mixed));
	return broken;
}

/** The task has gone from one side of a transition to the other. */
function switched(before: JudgedTask, after: JudgedTask): boolean {
	const both = before.patch_state !== KLP_TRANSITION_IDLE && after.patch_state !== KLP_TRANSITION_IDLE;
	return both && before.patch_state !== after.patch_state;
}

/** `lost-patch`: checks what each task runs after a transition has ended. */
function judgeCompletion({ functions, to }: Step): Broken[] {
	const view = viewOf(to, KLP_TRANSITION_IDLE);
	return differences(view, to.promised).map((index) => {
		const func = functions[index]!.name;
		const [is, should] = [view.names[index]!, to.promised.names[index]!];
		const message = `after the transition ${func} is ${is}, while the enabled patches promise ${should}`;
		return { invariant: "lost-patch", func, from: should, to: is, message };
	});
}

/** `freed-text`: text that a task will return to has been unmapped in this step. */
function judgeText({ from, to, point }: Step, task: string, { alive, found }: JudgedTask): Broken[] {
	if (!alive) return [];
	const gone = found.find((address) => isExecutable(from, address) && !isExecutable(to, address));
	if (gone === undefined) return [];
	const message =
		point === undefined
			? `${task} will return to text that has just been unmapped`
			: `${task} will return to ${hex(gone)}, which "${point}" has unmapped`;
	return [{ invariant: "freed-text", task, message }];
}

/**
 * A task has died: `freed-text` if it jumped to the address of a removed module or trampoline (no address of that area
 * is used twice), else `warn`.
 */
export function judgeOops({ memory, areas }: Machine, task: task_struct, fault: Fault, rip: bigint): Broken {
	const fetched = fault.kind === "page-fault" && fault.access === "fetch" && memory.permissions(rip) === 0;
	const freed = fetched && rip >= toU64(LAYOUT.modules) && rip < toU64(areas.nextModule);
	const what = freed ? `jumps into unmapped text at ${hex(rip)}` : `dies: ${task.oops}`;
	const invariant = freed ? "freed-text" : "warn";
	return { invariant, task: task.comm, message: `${task.comm} ${what}`, died: true };
}

/**
 * `warn`: kernel code has touched memory that is not there, or has died in guest code (where observers may have been told of it
 * already); `deadlock`: it waits for ever, or does not come back. Undefined: the error is no fault of the kernel.
 */
export function judgeError({ code, reason }: KlpemuError, task: string): Broken | undefined {
	if (code === "DEADLOCK") return { invariant: "deadlock", task, message: reason, died: true };
	if (code === "GUEST_ENDLESS") return { invariant: "deadlock", task, message: reason, died: true };
	if (code === "GUEST_OOPS") return { invariant: "warn", task, message: reason, died: true };
	if (code !== "MEMORY_UNMAPPED" && code !== "GUEST_FAULT") return undefined;
	return { invariant: "warn", task, message: `${task} faults in kernel code: ${reason}`, died: true };
}

/** `warn`: the WARN_ONs that have fired. */
export function judgeWarnings(warnings: readonly string[]): Broken[] {
	return warnings.map((warning) => ({ invariant: "warn", message: `WARN_ON in ${warning}` }));
}

function at({ point }: Step): string {
	return point === undefined ? "" : ` at "${point}"`;
}

/** The invariant that the change of one function of a task breaks, if any. */
type Change = (step: Step, task: string, after: JudgedTask, was: View, is: View, index: number) => Broken[];

const sudden: Change = (step, task, _after, was, is, index) => {
	const [from, to, func] = [was.names[index]!, is.names[index]!, step.functions[index]!.name];
	const message = `${task} goes from ${from} to ${to} for ${func}${at(step)}, although it does not switch there`;
	return [{ invariant: "sudden-change", task, func, from, to, message }];
};

/** The task has just switched: it must not be inside the implementation that it leaves. */
const leaves: Change = (step, task, after, was, is, index) => {
	const why = isIn(after, was.ranges[index]![0]);
	if (why === undefined) return [];
	const [from, to, func] = [was.names[index]!, is.names[index]!, step.functions[index]!.name];
	const left = from === "original" ? `the original ${func}` : from;
	const message = `${task} switches${at(step)} from ${from} to ${to} for ${func}, while ${left} ${why}`;
	return [{ invariant: "switched-on-stack", task, func, from, to, message }];
};

function isIn({ entries, inside, chosen }: JudgedTask, address: Kaddr): string | undefined {
	if (entries === undefined) return "may be on its stack, which cannot be walked";
	if (inside.includes(address)) return "is on its stack";
	if (chosen === address) return "is what its trampoline is about to jump to";
	return undefined;
}

/**
 * By view: the functions that are neither as before the transition nor as after it. Undefined: the view is one of the
 * two.
 */
type Mixed = Map<View, { readonly sinceBefore: number[]; readonly untilAfter: number[] } | undefined>;

function mixedUniverse(view: View, { before, after }: FromTo) {
	const sinceBefore = differences(view, before);
	const untilAfter = sinceBefore.length === 0 ? [] : differences(view, after);
	return untilAfter.length === 0 ? undefined : { sinceBefore, untilAfter };
}

/** `mixed-universe`: during a transition, a task's whole tuple is the one before or the one after. */
function judgeTuple({ functions, to: look, point }: Step, task: string, view: View, all?: Mixed): Broken[] {
	if (look.inTransition === undefined || look.fromTo === undefined) return [];
	const { before, after } = look.fromTo;
	const mixed = all?.has(view) ? all.get(view) : mixedUniverse(view, look.fromTo);
	all?.set(view, mixed);
	if (mixed === undefined) return [];
	const { sinceBefore, untilAfter } = mixed;
	// A function that is neither the old nor the new one. If each function is one of them: a function that is still the
	// old one.
	const neither = sinceBefore.find((index) => untilAfter.includes(index));
	const index = neither ?? untilAfter[0]!;
	const from = (neither === undefined ? view : before).names[index]!;
	const to = (neither === undefined ? after : view).names[index]!;
	const since = point === undefined ? "" : ` from "${point}" on`;
	const neitherNor = `neither ${tuple(before)} as before the transition nor ${tuple(after)} as after it`;
	const message = `${task} runs ${tuple(view)}${since}: ${neitherNor}`;
	return [{ invariant: "mixed-universe", task, func: functions[index]!.name, from, to, message }];
}
