import { declareState } from "../../base/index.js";
import type { Kaddr } from "../../memory/index.js";
import { EINVAL, type Kernel } from "../lib/index.js";
import type { Sched } from "../sched/index.js";
import type { FunctionGraph } from "./fgraph.js";
import type { Ftrace } from "./ftrace.js";
import type { GraphTracer } from "./graph-tracer.js";
import { ftrace_ops } from "./ops.js";
import { isRecursion } from "./recursion.js";
import { RingBuffer } from "./ring-buffer.js";
import { traceHeader, traceLine } from "./trace-format.js";

/** One line of the trace. */
export interface TraceEntry {
	readonly comm: string;
	readonly pid: number;
	readonly cpu: number;
	readonly jiffies: number;
	readonly ip: Kaddr;
	readonly parent_ip: Kaddr;
}

export const TRACERS = ["function_graph", "function", "nop"] as const;
export type TracerName = (typeof TRACERS)[number];

/**
 * The function tracer (kernel/trace/trace_functions.c): records caller and function of each call, and does not change
 * them. It also knows which tracer is the current one (kernel/trace/trace.c).
 */
export class FunctionTracer {
	static readonly state = declareState("FunctionTracer", {
		fields: ["global_ops", "current_tracer", "buffer", "graph", "graphTracer"],
	});

	readonly #ftrace: Ftrace;
	readonly #sched: Sched;
	readonly #HZ: number;
	readonly global_ops: ftrace_ops;
	current_tracer: TracerName = "nop";
	readonly buffer = new RingBuffer<TraceEntry>();
	/** Of the tracer function_graph. */
	readonly graph: FunctionGraph;
	readonly graphTracer: GraphTracer;

	/** `ftrace_host_func`: the gate whose host function is `call` of an ops. `HZ`: jiffies in a second. */
	constructor(
		parts: {
			readonly ftrace: Ftrace;
			readonly sched: Sched;
			readonly graph: FunctionGraph;
			readonly graphTracer: GraphTracer;
		},
		ftrace_host_func: Kaddr,
		HZ: number,
	) {
		const { ftrace, sched, graph, graphTracer } = parts;
		this.#ftrace = ftrace;
		this.graph = graph;
		this.graphTracer = graphTracer;
		this.#sched = sched;
		this.#HZ = HZ;
		const call = (ip: Kaddr, parent_ip: Kaddr) => this.#function_trace_call(ip, parent_ip);
		this.global_ops = new ftrace_ops("global_ops", this, ftrace_host_func, call, 0);
	}

	#function_trace_call(ip: Kaddr, parent_ip: Kaddr): void {
		const task = this.#sched.current;
		if (isRecursion(task)) return;
		const { pid, on_cpu: cpu } = task;
		const comm = task.idle ? "<idle>" : task.comm;
		this.buffer.write({ comm, pid, cpu, jiffies: this.#sched.jiffies, ip, parent_ip });
	}

	get tracing_on(): boolean {
		return this.buffer.on;
	}
	set tracing_on(on: boolean) {
		this.buffer.on = on;
		this.graphTracer.buffer.on = on;
	}

	clear(): void {
		this.buffer.clear();
		this.graphTracer.buffer.clear();
	}

	/** A write to current_tracer: -EINVAL for an unknown tracer. The buffer is cleared. */
	*tracing_set_tracer(name: string): Kernel<number> {
		const tracer = TRACERS.find((known) => known === name);
		if (tracer === undefined) return -EINVAL;
		if (tracer === this.current_tracer) return 0;
		let ret = yield* this.#reset();
		this.clear();
		if (ret !== 0) return ret;
		if (tracer === "function") ret = yield* this.#ftrace.register_ftrace_function(this.global_ops);
		if (tracer === "function_graph") ret = yield* this.graph.register_ftrace_graph(this.global_ops);
		if (ret === 0) this.current_tracer = tracer;
		return ret;
	}

	/** The tracer nop takes the place of the current one. */
	*#reset(): Kernel<number> {
		let ret = 0;
		if (this.current_tracer === "function") ret = yield* this.#ftrace.unregister_ftrace_function(this.global_ops);
		if (this.current_tracer === "function_graph") ret = yield* this.graph.unregister_ftrace_graph();
		if (ret === 0) this.current_tracer = "nop";
		return ret;
	}

	/** All state on which it depends if ftrace_graph_func() replaces the return address of a call. */
	graphKey(): readonly unknown[] {
		const { ftrace_graph_active } = this.graph;
		return ftrace_graph_active === 0 ? [] : [this.tracing_on, ...this.graphTracer.graph_hash];
	}

	/** A write to set_ftrace_filter or set_ftrace_notrace: both tracers have these filters. */
	*setFilters(filter: ReadonlySet<Kaddr>, notrace: ReadonlySet<Kaddr>): Kernel<number> {
		const ret = yield* this.#ftrace.ftrace_set_filters(this.global_ops, filter, notrace);
		if (ret !== 0 || this.current_tracer !== "function_graph") return ret;
		return yield* this.#ftrace.ftrace_set_filters(this.graph.graph_ops, filter, notrace);
	}

	/** The file `trace`: `name` gives the symbol of an address. */
	show(name: (address: Kaddr) => string): string[] {
		const { current_tracer, graphTracer } = this;
		const header = current_tracer === "function_graph" ? graphTracer.header() : this.header();
		return [...header, ...this.lines(name)];
	}

	/** The same without its header. */
	lines(name: (address: Kaddr) => string): string[] {
		const { current_tracer, graphTracer, buffer } = this;
		if (current_tracer === "function_graph") return graphTracer.lines(name);
		return buffer.entries.map((entry) => this.line(entry, name));
	}

	/** An entry as a line of the file `trace` (kernel/trace/trace_output.c): `name` gives the symbol of an address. */
	line(entry: TraceEntry, name: (address: Kaddr) => string): string {
		const { comm, pid, cpu, jiffies } = entry;
		const HZ = this.#HZ;
		const time = Math.floor(jiffies / HZ) * 1_000_000 + Math.floor(((jiffies % HZ) * 1_000_000) / HZ);
		return traceLine({ comm, pid, cpu, time }, `${name(entry.ip)} <-${name(entry.parent_ip)}`);
	}

	/** The header of the file `trace`. */
	header(): string[] {
		const { entries, written } = this.buffer;
		const online = this.#sched.cpus.filter((cpu) => cpu.online);
		return traceHeader(this.current_tracer, entries.length, written, online.length);
	}
}
