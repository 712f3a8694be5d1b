import type { Fault } from "../cpu/index.js";
import {
	KLP_TRANSITION_IDLE,
	KLP_TRANSITION_PATCHED,
	type Klp,
	type klp_func,
	type klp_patch,
	onStack,
} from "../linux/klp/index.js";
import type { task_struct } from "../linux/sched/index.js";
import type { Machine } from "../machine/index.js";
import { hex, type Kaddr, PERM } from "../memory/index.js";
import type { Invariant } from "../report/index.js";

/** A function that livepatches of a scenario change. */
export interface WatchedFunction {
	/** As the scenario has it: `funcA`, `funcA#2`. */
	readonly name: string;
	/** Its address and size; undefined while its module is not loaded. */
	resolve(): { readonly address: Kaddr; readonly size: number } | undefined;
}

/** A broken invariant: the instant, who, and what changed. */
export interface Violation {
	readonly invariant: Invariant;
	/** The step of kernel code after which it was seen. */
	readonly point: string;
	readonly task: task_struct | undefined;
	readonly func: string | undefined;
	readonly from: string | undefined;
	readonly to: string | undefined;
	readonly message: string;
}

/** The module that has the function is not loaded: nobody can run it. */
export const ABSENT = "absent";
export type Choice = klp_func | undefined | typeof ABSENT;
/** What one task would run, function by function; undefined is the original. */
type View = readonly Choice[];

interface Seen {
	patch_state: number;
	view: View;
	/** Tuples that have been reported as mixed already. */
	mixed: string;
}

const ORIGINAL = "original";

/** The name of an implementation. */
export function implementation(func: Choice): string {
	if (func === ABSENT) return ABSENT;
	return func === undefined ? ORIGINAL : func.new_name;
}

/** The entry that the handler of this machine's design would take for a task in `patch_state`; undefined: the original. */
export function resolveView(klp: Klp, old_func: Kaddr, patch_state: number): klp_func | undefined {
	const ops = klp.patching.klp_find_ops(old_func);
	return ops === undefined || ops.func_stack.next === ops.func_stack ? undefined : klp.design.select(ops, patch_state);
}

/**
 * Watches a machine and holds what it does against the consistency model (DESIGN: `sudden-change`, `mixed-universe`,
 * `switched-on-stack`, `freed-text`, `lost-patch`, `warn`). It looks at each point of the kernel code, so that a violation
 * is seen at the very step that causes it.
 */
export class InvariantChecker {
	readonly #machine: Machine;
	readonly #functions: readonly WatchedFunction[];
	readonly #report: (violation: Violation) => void;
	readonly #seen = new Map<task_struct, Seen>();
	/** During a transition: what everybody ran before it, and what the design promises for after it. */
	#before: View | undefined = undefined;
	#after: View | undefined = undefined;
	#warnings = 0;

	constructor(machine: Machine, functions: readonly WatchedFunction[], report: (violation: Violation) => void) {
		this.#machine = machine;
		this.#functions = functions;
		this.#report = report;
		const oops = (task: task_struct, fault: Fault, rip: bigint) => {
			const fetched = fault.kind === "page-fault" && fault.access === "fetch";
			const what = fetched ? `jumped into unmapped text at ${hex(rip)}` : `died: ${task.oops}`;
			this.#violated({
				invariant: fetched ? "freed-text" : "warn",
				point: "oops",
				task,
				message: `${task.comm} ${what}`,
			});
		};
		const invalidRead = (message: string) => {
			this.#violated({ invariant: "use-after-free", point: "read", task: machine.sched.current, message });
		};
		const transition = (what: "init" | "reverse", patch: klp_patch, target: number) => {
			if (what === "init") this.#begin(patch, target);
		};
		machine.observe({ point: (label) => this.check(label), oops, invalidRead, transition });
	}

	/** The implementations that `task` would run now, by the name of the function. */
	view(task: task_struct): Record<string, string> {
		const entries = this.#functions.map((func, index): [string, string] => [
			func.name,
			implementation(this.#view(task.patch_state)[index]),
		]);
		return Object.fromEntries(entries);
	}

	#view(patch_state: number): View {
		return this.#functions.map((func) => {
			const there = func.resolve();
			return there === undefined ? ABSENT : resolveView(this.#machine.klp, there.address, patch_state);
		});
	}

	#promise(enabled: readonly klp_patch[]): View {
		return this.#functions.map((func) => {
			const there = func.resolve();
			return there === undefined ? ABSENT : this.#machine.klp.design.promise(enabled, there.address);
		});
	}

	/** A transition starts: nothing has changed yet. */
	#begin(patch: klp_patch, target: number): void {
		const { klp } = this.#machine;
		const { design } = klp;
		const others = klp.klp_patches.filter((other) => other.enabled && other !== patch);
		const stay = (other: klp_patch) => !(design.replacesOnCompletion(patch) && design.supersedes(patch, other));
		this.#before = this.#view(KLP_TRANSITION_IDLE);
		this.#after = this.#promise(target === KLP_TRANSITION_PATCHED ? [...others.filter(stay), patch] : others);
	}

	/** Looks at everything. `point`: the step of kernel code that has just been made. */
	check(point: string): void {
		const views = new Map<number, View>();
		const viewOf = (patch_state: number) => {
			let view = views.get(patch_state);
			if (view === undefined) {
				view = this.#view(patch_state);
				views.set(patch_state, view);
			}
			return view;
		};
		// The tasks of the scenario first: what happens to the shell, a kworker or an idle task too is told of them.
		const tasks = [...this.#machine.sched.all()];
		const own = (task: task_struct) => task.mode === "host" || task.idle;
		for (const task of tasks) if (!own(task)) this.#checkTask(point, task, viewOf(task.patch_state));
		for (const task of tasks) if (own(task)) this.#checkTask(point, task, viewOf(task.patch_state));
		if (point === "klp_complete_transition: done") this.#completed(point, viewOf);
		if (point.startsWith("free_module")) this.#freed(point);
		const { warnings } = this.#machine.dmesg;
		for (const warning of warnings.slice(this.#warnings)) {
			this.#violated({ invariant: "warn", point, message: `WARN_ON in ${warning}` });
		}
		this.#warnings = warnings.length;
	}

	#checkTask(point: string, task: task_struct, view: View): void {
		const last = this.#seen.get(task);
		const now: Seen = { patch_state: task.patch_state, view, mixed: last?.mixed ?? "" };
		this.#seen.set(task, now);
		const { klp_transition_patch } = this.#machine.klp.transition;
		if (last !== undefined && !same(last.view, view)) {
			const wasIn = last.patch_state !== KLP_TRANSITION_IDLE && task.patch_state !== KLP_TRANSITION_IDLE;
			const switched = wasIn && last.patch_state !== task.patch_state;
			this.#functions.forEach((func, index) => {
				const [from, to] = [last.view[index], view[index]];
				// A module that comes or goes takes its functions along: nobody could, or can, be in them.
				if (from === ABSENT || to === ABSENT || codeOf(from) === codeOf(to)) return;
				if (switched) this.#leaves(point, task, func, from, to);
				else this.#sudden(point, task, func, from, to);
			});
		}
		if (klp_transition_patch !== undefined) this.#mixed(point, task, now);
		else now.mixed = "";
	}

	#sudden(
		point: string,
		task: task_struct,
		func: WatchedFunction,
		from: klp_func | undefined,
		to: klp_func | undefined,
	) {
		const [was, is] = [implementation(from), implementation(to)];
		this.#violated({
			invariant: "sudden-change",
			point,
			task,
			func: func.name,
			from: was,
			to: is,
			message: `${task.comm} goes from ${was} to ${is} for ${func.name} at "${point}", although it does not switch there`,
		});
	}

	/** The task has just switched: it must not be inside what it left. */
	#leaves(
		point: string,
		task: task_struct,
		func: WatchedFunction,
		from: klp_func | undefined,
		to: klp_func | undefined,
	) {
		const left = from === undefined ? func.resolve()! : { address: from.new_func, size: from.new_size };
		const trace = this.#machine.unwinder.stack_trace_save_tsk_reliable(task);
		if (trace !== undefined && !onStack(trace, left.address, left.size)) return;
		const [was, is] = [implementation(from), implementation(to)];
		const why = trace === undefined ? "its stack cannot be walked" : `${from?.new_name ?? func.name} is on its stack`;
		this.#violated({
			invariant: "switched-on-stack",
			point,
			task,
			func: func.name,
			from: was,
			to: is,
			message: `${task.comm} switches at "${point}" from ${was} to ${is} for ${func.name}, while ${why}`,
		});
	}

	/** During a transition, a task's whole tuple is the one before or the one after. */
	#mixed(point: string, task: task_struct, now: Seen): void {
		if (this.#before === undefined || this.#after === undefined) return;
		const [before, after] = [this.#before, this.#after];
		if (same(now.view, before) || same(now.view, after)) {
			now.mixed = "";
			return;
		}
		const tuple = now.view.map(implementation).join(", ");
		if (now.mixed === tuple) return;
		now.mixed = tuple;
		const names = (view: View) => `(${view.map(implementation).join(", ")})`;
		// The column that is neither; where each is one or the other, one that lags behind.
		const differs = (a: View, b: View, i: number) => codeOf(a[i]) !== codeOf(b[i]);
		const neither = now.view.findIndex((_, i) => differs(now.view, before, i) && differs(now.view, after, i));
		const index = neither >= 0 ? neither : now.view.findIndex((_, i) => differs(now.view, after, i));
		this.#violated({
			invariant: "mixed-universe",
			point,
			task,
			func: this.#functions[index]!.name,
			from: implementation(neither >= 0 ? before[index] : now.view[index]),
			to: implementation(neither >= 0 ? now.view[index] : after[index]),
			message: `${task.comm} runs (${tuple}) from "${point}" on: neither ${names(before)} as before the transition nor ${names(after)} as after it`,
		});
	}

	#completed(point: string, viewOf: (patch_state: number) => View): void {
		this.#before = undefined;
		this.#after = undefined;
		const promised = this.#promise(this.#machine.klp.klp_patches.filter((patch) => patch.enabled));
		const view = viewOf(KLP_TRANSITION_IDLE);
		this.#functions.forEach((func, index) => {
			if (codeOf(view[index]) === codeOf(promised[index])) return;
			const [is, should] = [implementation(view[index]), implementation(promised[index])];
			this.#violated({
				invariant: "lost-patch",
				point,
				func: func.name,
				from: should,
				to: is,
				message: `after the transition ${func.name} is ${is}, while the enabled patches promise ${should}`,
			});
		});
	}

	#freed(point: string): void {
		for (const task of this.#machine.sched.all()) {
			// The walk ends in what has gone, and is unreliable there: what it has found until then is what counts.
			const gone = this.#machine.unwinder
				.walk(task)
				.entries.find((address) => (this.#machine.memory.permissions(address) & PERM.EXEC) === 0);
			if (gone === undefined) continue;
			this.#violated({
				invariant: "freed-text",
				point,
				task,
				message: `${task.comm} will return to ${hex(gone)}, which "${point}" has unmapped`,
			});
		}
	}

	#violated(violation: Partial<Violation> & Pick<Violation, "invariant" | "point" | "message">): void {
		this.#report({ task: undefined, func: undefined, from: undefined, to: undefined, ...violation });
	}
}

/** What is run: two entries with the same new function are the same implementation. */
export function codeOf(func: Choice): Kaddr {
	return func === undefined || func === ABSENT ? 0 : func.new_func;
}

function same(a: View, b: View): boolean {
	return a.every((func, index) => func === ABSENT || b[index] === ABSENT || codeOf(func) === codeOf(b[index]));
}
