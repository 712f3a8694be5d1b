import type { InvariantChecker, WatchedFunction } from "../consistency/index.js";
import { patchStateName, type StackEntry } from "../linux/klp/index.js";
import type { task_struct } from "../linux/sched/index.js";
import type { Machine } from "../machine/index.js";
import type { Kaddr } from "../memory/index.js";
import type { ReportStep, ReportTask } from "../report/index.js";
import { functionsOn, type Whereabouts } from "./whereabouts.js";

/** Reads the state of a machine in the form of a report. */
export class Observer {
	readonly #machine: Machine;
	readonly #checker: InvariantChecker;
	readonly #functions: readonly WatchedFunction[];
	readonly #tasks: ReadonlyMap<string, task_struct>;
	readonly #whereabouts: Whereabouts;

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
	}

	state(): Pick<ReportStep, "tasks" | "sysfs" | "func_stacks"> {
		const stacks = this.#stacks();
		const ranges = rangesOf(stacks);
		const tasks = Object.fromEntries([...this.#tasks].map(([name, task]) => [name, this.#task(task, ranges)]));
		const sysfs = Object.fromEntries(
			[...this.#machine.klp.sysfs.entries()].map(([path, value]) => [path, Number(value)]),
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
		const ranges = rangesOf(this.#stacks());
		return Object.fromEntries(this.#machine.sched.cpus.map(({ idle }) => [idle.comm, this.#task(idle, ranges)]));
	}

	#task(task: task_struct, ranges: readonly Range[]): ReportTask {
		return {
			patch_state: patchStateName(task.patch_state),
			pending: task.pending,
			in: this.#in(task, ranges),
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

	/** The innermost implementation of a watched function on the task's stack. */
	#in(task: task_struct, ranges: readonly Range[]): string | null {
		for (const entry of this.#machine.unwinder.stack_trace_save_tsk_reliable(task) ?? []) {
			const hit = ranges.find(({ address, size }) => entry >= address && entry < address + size);
			if (hit !== undefined) return hit.name;
		}
		return null;
	}
}

/** The code of an implementation. */
interface Range {
	readonly name: string;
	readonly address: Kaddr;
	readonly size: number;
}

function rangesOf(
	stacks: readonly {
		readonly name: string;
		readonly there: { readonly address: Kaddr; readonly size: number } | undefined;
		readonly entries: readonly StackEntry[];
	}[],
): Range[] {
	return stacks.flatMap(({ name, there, entries }) => [
		...(there === undefined ? [] : [{ name, address: there.address, size: there.size }]),
		...entries
			.filter((func) => !func.nop)
			.map((func) => ({ name: func.new_name, address: func.new_func, size: func.new_size })),
	]);
}
