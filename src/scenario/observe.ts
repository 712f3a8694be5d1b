import { functionsInside, type InvariantChecker, type WatchedFunction } from "../consistency/index.js";
import { patchStateName } from "../linux/klp/index.js";
import type { task_struct } from "../linux/sched/index.js";
import type { Machine } from "../machine/index.js";
import type { Kaddr } from "../memory/index.js";
import type { ReportStep, ReportTask } from "../report/index.js";
import { fileValue } from "./values.js";
import { functionsOn, type Whereabouts } from "./whereabouts.js";

/** Reads the state of a machine in the form of a report. */
export class Observer {
	readonly #machine: Machine;
	readonly #checker: InvariantChecker;
	readonly #functions: readonly WatchedFunction[];
	readonly #tasks: ReadonlyMap<string, task_struct>;
	readonly #whereabouts: Whereabouts;
	/** Of every patch that was enabled. */
	readonly #implementations = new Map<Kaddr, string>();

	constructor(
		machine: Machine,
		checker: InvariantChecker,
		functions: readonly WatchedFunction[],
		tasks: ReadonlyMap<string, task_struct>,
		whereabouts: Whereabouts,
	) {
		this.#machine = machine;
		this.#checker = checker;
		this.#functions = functions;
		this.#tasks = tasks;
		this.#whereabouts = whereabouts;
		machine.observe({
			enable: (patch) => {
				const funcs = patch.objs.flatMap((obj) => obj.funcs);
				for (const { new_func, new_name } of funcs) this.#implementations.set(new_func, new_name);
			},
		});
	}

	state(): Pick<ReportStep, "tasks" | "sysfs" | "func_stacks"> {
		const stacks = this.#stacks();
		const names = this.#names();
		const tasks = Object.fromEntries([...this.#tasks].map(([name, task]) => [name, this.#task(task, names)]));
		const sysfs = Object.fromEntries(
			[...this.#machine.klp.sysfs.entries()].map(([path, value]) => [path, fileValue(value)]),
		);
		const func_stacks: Record<string, string[]> = {};
		for (const { name, entries } of stacks) {
			if (entries.length > 0) func_stacks[name] = entries.map((func) => (func.nop ? "nop" : func.new_name));
		}
		return { tasks, sysfs, func_stacks };
	}

	/** Further data for a report, which is not compared with expectations. */
	more(): Pick<ReportStep, "switched" | "inside" | "modules"> {
		const { switched } = this.#whereabouts;
		const stacks = [...this.#tasks].map(([name, task]) => [name, functionsOn(this.#machine, task) ?? null] as const);
		return {
			switched: [...this.#tasks].flatMap(([name, task]) => (switched.has(task) ? [name] : [])),
			inside: Object.fromEntries(stacks.filter(([, stack]) => stack === null || stack.length > 0)),
			modules: Object.fromEntries([...this.#machine.modules].map(([name, { refcount }]) => [name, refcount])),
		};
	}

	/** swapper/0, ...: not in reports, but an expectation may name them. */
	idleTasks(): Record<string, ReportTask> {
		const names = this.#names();
		return Object.fromEntries(this.#machine.sched.cpus.map(({ idle }) => [idle.comm, this.#task(idle, names)]));
	}

	#task(task: task_struct, names: ReadonlyMap<Kaddr, string>): ReportTask {
		return {
			patch_state: patchStateName(task.patch_state),
			pending: task.pending,
			in: this.#in(task, names),
			view: this.#checker.view(task),
		};
	}

	#stacks() {
		return this.#functions.map((func) => {
			const there = func.resolve();
			const entries = there === undefined ? [] : this.#machine.klp.funcStack(there.address);
			return { name: func.name, there, entries };
		});
	}

	/** The functions that a task can be in: the watched ones, and each implementation that was ever enabled, by address. */
	#names(): Map<Kaddr, string> {
		const names = new Map(this.#implementations);
		for (const { name, there } of this.#stacks()) if (there !== undefined) names.set(there.address, name);
		return names;
	}

	/**
	 * The innermost watched function on the task's stack, by implementation. One that no func_stack has any more counts: after a
	 * force, a task may still be in it.
	 */
	#in(task: task_struct, names: ReadonlyMap<Kaddr, string>): string | null {
		const entries = this.#machine.unwinder.stack_trace_save_tsk_reliable(task) ?? [];
		const inside = functionsInside(this.#machine, entries).flat();
		return inside.map((address) => names.get(address)).find((name) => name !== undefined) ?? null;
	}
}
