import { declareState } from "../../base/index.js";
import type { Kaddr } from "../../memory/index.js";
import type { ftrace_ret_stack, Sched, task_struct } from "../sched/index.js";
import type { fgraph_ops } from "./fgraph.js";
import { RingBuffer } from "./ring-buffer.js";

/** A call or a return in the trace (struct ftrace_graph_ent_entry, ftrace_graph_ret_entry). */
export interface GraphEntry {
	readonly kind: "entry" | "return";
	readonly comm: string;
	readonly pid: number;
	readonly cpu: number;
	/** The call site. */
	readonly func: Kaddr;
	/** Number of traced calls around it. */
	readonly depth: number;
	/** Of a return: jiffies since the call. */
	readonly duration: number;
}

/** What print_graph_function() keeps of each CPU (struct fgraph_cpu_data). */
interface CpuData {
	last_pid: number | undefined;
	/** By depth: the function of which a closing brace may omit the name. */
	readonly enter_funcs: (Kaddr | undefined)[];
}

/** Marks of long durations, in nanoseconds (kernel/trace/trace_output.c). */
const MARKS = [
	[1_000_000_000, "$"],
	[100_000_000, "@"],
	[10_000_000, "*"],
	[1_000_000, "#"],
	[100_000, "!"],
	[10_000, "+"],
] as const;
const INDENT = 2;
const PROCINFO_LENGTH = 14;
const SWITCH = " ------------------------------------------";

/** The function graph tracer (kernel/trace/trace_functions_graph.c): records calls and their returns, and prints them as C-like blocks. */
export class GraphTracer implements fgraph_ops {
	static readonly state = declareState("GraphTracer", { fields: ["buffer", "graph_hash"] });

	readonly #sched: Sched;
	readonly #HZ: number;
	readonly buffer = new RingBuffer<GraphEntry>();
	/** set_graph_function: only these call sites, and what they call. Empty: all. */
	graph_hash: ReadonlySet<Kaddr> = new Set();

	/** `HZ`: jiffies in a second. */
	constructor(sched: Sched, HZ: number) {
		this.#sched = sched;
		this.#HZ = HZ;
	}

	/** trace_graph_entry(). A call that the buffer does not take is not followed to its return either. */
	entryfunc(task: task_struct, call: ftrace_ret_stack): ftrace_ret_stack | undefined {
		const root = this.graph_hash.has(call.func);
		const wanted = this.graph_hash.size === 0 || root || task.ret_stack.some((outer) => outer.root);
		if (!wanted || !this.#record("entry", task, call, task.ret_stack.length)) return undefined;
		return root ? { ...call, root } : call;
	}

	retfunc(task: task_struct, call: ftrace_ret_stack, depth: number): void {
		this.#record("return", task, call, depth);
	}

	#record(kind: GraphEntry["kind"], task: task_struct, { func, calltime }: ftrace_ret_stack, depth: number): boolean {
		const comm = task.idle ? "<idle>" : task.comm;
		const duration = this.#sched.jiffies - calltime;
		return this.buffer.write({ kind, comm, pid: task.pid, cpu: task.on_cpu, func, depth, duration });
	}

	header(): string[] {
		return [
			"# tracer: function_graph",
			"#",
			"# CPU  DURATION                  FUNCTION CALLS",
			"# |     |   |                     |   |   |   |",
		];
	}

	/** The lines of the file `trace`: `name` gives the symbol of an address. */
	lines(name: (address: Kaddr) => string): string[] {
		const { entries } = this.buffer;
		const cpus = new Map<number, CpuData>();
		const leaves = new Set<GraphEntry>();
		const comms = new Map(entries.map(({ pid, comm }) => [pid, comm]));
		return entries.flatMap((entry, index) => {
			if (leaves.has(entry)) return [];
			const data = cpus.get(entry.cpu) ?? { last_pid: undefined, enter_funcs: [] };
			cpus.set(entry.cpu, data);
			const before = this.#verif_pid(entry, data, comms);
			const leaf = entry.kind === "entry" ? returnForLeaf(entries, index) : undefined;
			if (leaf !== undefined) leaves.add(leaf);
			return [...before, `${this.#cpu(entry.cpu)}${this.#print(entry, leaf, data, name)}`];
		});
	}

	#print(entry: GraphEntry, leaf: GraphEntry | undefined, data: CpuData, name: (address: Kaddr) => string): string {
		const { kind, func, depth } = entry;
		const indent = " ".repeat(depth * INDENT);
		if (leaf !== undefined) {
			data.enter_funcs[depth] = undefined;
			return `${this.#duration(leaf.duration)}${indent}${name(func)}();`;
		}
		if (kind === "entry") {
			data.enter_funcs[depth] = func;
			return `              |  ${indent}${name(func)}() {`;
		}
		// A return whose call is not in the buffer any more says what it belongs to.
		const tail = data.enter_funcs[depth] === func ? "" : ` /* ${name(func)} */`;
		data.enter_funcs[depth] = undefined;
		return `${this.#duration(entry.duration)}${indent}}${tail}`;
	}

	/** print_graph_cpu(): as wide as the largest number of a CPU. */
	#cpu(cpu: number): string {
		return ` ${String(cpu).padStart(String(this.#sched.cpus.length - 1).length)}) `;
	}

	/** print_graph_duration(), trace_print_graph_duration(): at most seven digits. */
	#duration(jiffies: number): string {
		const nanoseconds = Math.floor((jiffies * 1_000_000_000) / this.#HZ);
		const [, mark = " "] = MARKS.find(([limit]) => nanoseconds > limit) ?? [];
		const microseconds = String(Math.floor(nanoseconds / 1000));
		const fraction = String(nanoseconds % 1000).padStart(3, "0");
		const digits =
			microseconds.length < 7 ? `${microseconds}.${fraction.slice(0, 7 - microseconds.length)}` : microseconds;
		return `${mark} ${digits} us ${" ".repeat(Math.max(8 - digits.length, 0))}|  `;
	}

	/** The lines for another task on the same CPU. */
	#verif_pid({ cpu, pid }: GraphEntry, data: CpuData, comms: ReadonlyMap<number, string>): string[] {
		const { last_pid } = data;
		data.last_pid = pid;
		if (last_pid === undefined || last_pid === pid) return [];
		const proc = (of: number) => print_graph_proc(comms.get(of) ?? "<...>", of);
		return [SWITCH, `${this.#cpu(cpu)}${proc(last_pid)} => ${proc(pid)}`, SWITCH, ""];
	}
}

/** get_return_for_leaf(): the return of a call, if it is the next event of the same CPU. */
function returnForLeaf(entries: readonly GraphEntry[], index: number): GraphEntry | undefined {
	const { cpu, pid, func } = entries[index]!;
	let next = index + 1;
	while (next < entries.length && entries[next]!.cpu !== cpu) next++;
	const found = entries[next];
	return found?.kind === "return" && found.pid === pid && found.func === func ? found : undefined;
}

/** Seven characters of the name, and the pid, in the middle of a column. */
function print_graph_proc(comm: string, pid: number): string {
	const text = `${comm.slice(0, 7)}-${pid}`;
	const spaces = Math.max(PROCINFO_LENGTH - text.length, 0);
	const before = Math.floor(spaces / 2);
	return `${" ".repeat(before)}${text}${" ".repeat(spaces - before)}`;
}
