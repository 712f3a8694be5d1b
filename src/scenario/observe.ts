import type { InvariantChecker, WatchedFunction } from "../consistency/index.js";
import { patchStateName } from "../linux/klp/index.js";
import type { task_struct } from "../linux/sched/index.js";
import type { Machine } from "../machine/index.js";
import type { ReportStep, ReportTask } from "../report/index.js";

/** Looks at a machine in the terms of a report. */
export class Observer {
	readonly #machine: Machine;
	readonly #checker: InvariantChecker;
	readonly #functions: readonly WatchedFunction[];
	readonly #tasks: ReadonlyMap<string, task_struct>;

	constructor(
		machine: Machine,
		checker: InvariantChecker,
		functions: readonly WatchedFunction[],
		tasks: ReadonlyMap<string, task_struct>,
	) {
		this.#machine = machine;
		this.#checker = checker;
		this.#functions = functions;
		this.#tasks = tasks;
	}

	state(): Pick<ReportStep, "tasks" | "sysfs" | "func_stacks"> {
		const tasks = Object.fromEntries([...this.#tasks].map(([name, task]) => [name, this.#task(task)]));
		const sysfs = Object.fromEntries(
			[...this.#machine.klp.sysfs.entries()].map(([path, value]) => [path, Number(value)]),
		);
		const func_stacks: Record<string, string[]> = {};
		for (const { name, entries } of this.#stacks()) {
			if (entries.length > 0) func_stacks[name] = entries.map((func) => (func.nop ? "nop" : func.new_name));
		}
		return { tasks, sysfs, func_stacks };
	}

	/** swapper/0, ...: not in reports, but an expectation may be about them. */
	idleTasks(): Record<string, ReportTask> {
		return Object.fromEntries(this.#machine.sched.cpus.map(({ idle }) => [idle.comm, this.#task(idle)]));
	}

	#task(task: task_struct): ReportTask {
		return {
			patch_state: patchStateName(task.patch_state),
			pending: task.pending,
			in: this.#in(task),
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
	#in(task: task_struct): string | null {
		const ranges = this.#stacks().flatMap(({ name, there, entries }) => [
			...(there === undefined ? [] : [{ name, address: there.address, size: there.size }]),
			...entries
				.filter((func) => !func.nop)
				.map((func) => ({ name: func.new_name, address: func.new_func, size: func.new_size })),
		]);
		for (const entry of this.#machine.unwinder.stack_trace_save_tsk_reliable(task) ?? []) {
			const hit = ranges.find(({ address, size }) => entry >= address && entry < address + size);
			if (hit !== undefined) return hit.name;
		}
		return null;
	}
}
