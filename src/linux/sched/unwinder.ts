import type { UnwindRow } from "../../elf/index.js";
import type { Kaddr, Memory } from "../../memory/index.js";
import { THREAD_SIZE } from "./stacks.js";
import type { task_struct } from "./task.js";
import { type StackTrace, stack_trace_save_tsk_reliable } from "./unwind.js";

/** The sources of unwind rows: all parts of guest code. */
export interface UnwindRows {
	/** The row for an instruction; undefined if it is not known. */
	findRow(ip: Kaddr): UnwindRow | undefined;
}

/** The return addresses that tracers have replaced on stacks: function_graph and kretprobe. */
export interface ReplacedReturns {
	/** For one walk of the task's stack: see {@link Stack.recover}. */
	unwind_recover_ret_addr(task: task_struct): (ret: Kaddr, retp: Kaddr) => Kaddr;
}

/** Answers {@link Unwinder.stack_trace_save_tsk_reliable} in place of a walk. */
export type TraceOf = (task: task_struct) => readonly Kaddr[] | undefined;

/** Walks the kernel stacks of tasks that do not run. */
export class Unwinder {
	readonly #memory: Memory;
	readonly #rows: UnwindRows;
	readonly #returns: ReplacedReturns;
	readonly #substitutes: TraceOf[] = [];

	constructor(memory: Memory, rows: UnwindRows, returns: ReplacedReturns) {
		this.#memory = memory;
		this.#rows = rows;
		this.#returns = returns;
	}

	/** Addresses on a task's stack, innermost first; undefined if it cannot be walked reliably. */
	stack_trace_save_tsk_reliable(task: task_struct): readonly Kaddr[] | undefined {
		const substitute = this.#substitutes.at(-1);
		if (substitute !== undefined) return substitute(task);
		const trace = this.walk(task);
		return trace.reliable ? trace.entries : undefined;
	}

	/**
	 * The same, with the entries that were found before the walk became unreliable, and the reason. `traceOf` never
	 * replaces it. `regs`: where the walk begins.
	 */
	walk(task: task_struct, regs = task.regs): StackTrace {
		if (task.mode !== "kernel" || task.stack === undefined) return { reliable: true, entries: [], rsp: [] };
		const low = Number(BigInt.asIntN(32, task.stack.address));
		const high = (low + THREAD_SIZE) | 0;
		const findRow = (ip: Kaddr) => this.#rows.findRow(ip);
		const recover = this.#returns.unwind_recover_ret_addr(task);
		return stack_trace_save_tsk_reliable(regs, { memory: this.#memory, low, high, findRow, recover });
	}

	/**
	 * From now on `traceOf` answers {@link stack_trace_save_tsk_reliable}. For a host that knows the trace of a task
	 * whose stack is not in memory, such as the explorer. The returned function ends this.
	 */
	substitute(traceOf: TraceOf): () => void {
		this.#substitutes.push(traceOf);
		return () => void this.#substitutes.splice(this.#substitutes.indexOf(traceOf), 1);
	}
}
