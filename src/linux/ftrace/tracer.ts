import { declareState } from "../../base/index.js";
import type { Kaddr } from "../../memory/index.js";
import { EINVAL, type Kernel } from "../lib/index.js";
import type { Sched } from "../sched/index.js";
import type { Ftrace } from "./ftrace.js";
import { ftrace_ops } from "./ops.js";
import { isRecursion } from "./recursion.js";

/** One line of the trace. */
export interface TraceEntry {
	readonly comm: string;
	readonly pid: number;
	readonly cpu: number;
	readonly jiffies: number;
	readonly ip: Kaddr;
	readonly parent_ip: Kaddr;
}

/** Entries that the ring buffer holds; older ones are overwritten. */
export const TRACE_ENTRIES_MAX = 65_536;

export const TRACERS = ["function", "nop"] as const;
export type TracerName = (typeof TRACERS)[number];

/**
 * The function tracer (kernel/trace/trace_functions.c): records caller and function of each call, and does not change
 * them.
 */
export class FunctionTracer {
	/** The kernel only shows the trace: its behaviour does not depend on it. */
	static readonly state = declareState({
		fields: ["global_ops", "current_tracer", "tracing_on"],
		unkeyed: ["written"],
		logs: ["buffer"],
	});

	readonly #ftrace: Ftrace;
	readonly #sched: Sched;
	readonly #HZ: number;
	readonly global_ops: ftrace_ops;
	current_tracer: TracerName = "nop";
	tracing_on = true;
	/** The ring buffer, oldest first. It may also hold entries that count as overwritten and are not removed yet. */
	buffer: TraceEntry[] = [];
	/** Number of entries since the buffer was last cleared. */
	written = 0;

	/** `ftrace_host_func`: the gate whose host function is `call` of an ops. `HZ`: jiffies in a second. */
	constructor(ftrace: Ftrace, sched: Sched, ftrace_host_func: Kaddr, HZ: number) {
		this.#ftrace = ftrace;
		this.#sched = sched;
		this.#HZ = HZ;
		const call = (ip: Kaddr, parent_ip: Kaddr) => this.#function_trace_call(ip, parent_ip);
		this.global_ops = new ftrace_ops("global_ops", this, ftrace_host_func, call, 0);
	}

	#function_trace_call(ip: Kaddr, parent_ip: Kaddr): void {
		const task = this.#sched.current;
		if (!this.tracing_on || isRecursion(task)) return;
		const { pid, on_cpu: cpu } = task;
		const comm = task.idle ? "<idle>" : task.comm;
		this.buffer.push({ comm, pid, cpu, jiffies: this.#sched.jiffies, ip, parent_ip });
		this.written++;
		if (this.buffer.length === 2 * TRACE_ENTRIES_MAX) this.buffer = this.entries;
	}

	/** The entries of the ring buffer, oldest first. */
	get entries(): TraceEntry[] {
		return this.buffer.slice(-TRACE_ENTRIES_MAX);
	}

	clear(): void {
		this.buffer = [];
		this.written = 0;
	}

	/** A write to current_tracer: -EINVAL for an unknown tracer. The buffer is cleared. */
	*tracing_set_tracer(name: string): Kernel<number> {
		const tracer = TRACERS.find((known) => known === name);
		if (tracer === undefined) return -EINVAL;
		if (tracer === this.current_tracer) return 0;
		let ret = 0;
		if (tracer === "function") {
			this.clear();
			ret = yield* this.#ftrace.register_ftrace_function(this.global_ops);
		} else {
			ret = yield* this.#ftrace.unregister_ftrace_function(this.global_ops);
			this.clear();
		}
		if (ret === 0) this.current_tracer = tracer;
		return ret;
	}

	/** An entry as a line of the file `trace` (kernel/trace/trace_output.c): `name` gives the symbol of an address. */
	line(entry: TraceEntry, name: (address: Kaddr) => string): string {
		const task = `${entry.comm.padStart(16)}-${String(entry.pid).padEnd(7)}`;
		const cpu = `[${String(entry.cpu).padStart(3, "0")}]`;
		const HZ = this.#HZ;
		const seconds = String(Math.floor(entry.jiffies / HZ)).padStart(5);
		const microseconds = String(Math.floor(((entry.jiffies % HZ) * 1_000_000) / HZ)).padStart(6, "0");
		// No interrupt, no softirq, and preemption as in the traced function: five dots.
		return `${task} ${cpu} ..... ${seconds}.${microseconds}: ${name(entry.ip)} <-${name(entry.parent_ip)}`;
	}

	/** The header of the file `trace`. */
	header(): string[] {
		return [
			`# tracer: ${this.current_tracer}`,
			"#",
			`# entries-in-buffer/entries-written: ${this.entries.length}/${this.written}   #P:${this.#sched.cpus.filter(({ online }) => online).length}`,
			"#",
			"#                                _-----=> irqs-off/BH-disabled",
			"#                               / _----=> need-resched",
			"#                              | / _---=> hardirq/softirq",
			"#                              || / _--=> preempt-depth",
			"#                              ||| / _-=> migrate-disable",
			"#                              |||| /     delay",
			"#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION",
			"#              | |         |   |||||     |         |",
		];
	}
}
