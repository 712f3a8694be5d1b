import { ARGUMENT_REGISTERS, type CallGate, type Cpu, type GatePage, R8, R9, RAX, RDI, RDX } from "../cpu/index.js";
import {
	type Ftrace,
	type FunctionGraph,
	PT_REGS,
	trace_clear_recursion,
	trace_test_and_set_recursion,
} from "../linux/ftrace/index.js";
import { GuestArguments, GuestFault, GuestMemory, type HostCalls, type HostFunctions } from "../linux/guest/index.js";
import type { Klp } from "../linux/klp/index.js";
import type { Sched } from "../linux/sched/index.js";
import { type Kaddr, PERM } from "../memory/index.js";
import type { Observer } from "./observers.js";

/** The gate that is called most often. */
export function declareHandler(gates: GatePage, klp: Klp): void {
	const make = (caught: (error: unknown) => number) => klp.makeHandler(caught);
	gates.add({ name: "klp_ftrace_handler", passes: "store", takes: RDX, at: PT_REGS.RIP, make });
}

/**
 * The functions that asm/ftrace_64.S and asm/ftrace_ops.S call. Modules cannot link against them, but guest code may call any address: so
 * they also write through {@link GuestMemory}, and a task that passes a bad pointer dies.
 */
export function declareFtraceGates(
	gates: GatePage,
	cpu: Cpu,
	parts: {
		readonly sched: Sched;
		readonly ftrace: Ftrace;
		readonly graph: FunctionGraph;
		readonly hostCalls: HostCalls;
	},
): void {
	const { sched, ftrace, graph, hostCalls } = parts;
	const { state } = cpu;
	const { memory } = cpu;
	const guest = new GuestMemory(memory);
	const { words } = memory;
	/** Stores a kernel address in the word at a place of {@link Memory.wordAt}. */
	const store = (at: number, value: Kaddr): void => {
		words[at] = value;
		words[at + 1] = value >> 31;
	};
	const withArgs = (name: string, run: (...args: Parameters<CallGate["call"]>) => void) => {
		const call: CallGate["call"] = (rdi, rsi, rdx, rcx) => {
			try {
				run(rdi, rsi, rdx, rcx);
				return false;
			} catch (error) {
				return stopsFor(error, hostCalls);
			}
		};
		gates.add({ name, passes: "args", call });
	};
	// ftrace_ops_list_func() calls these three for each traced call. They do not go through withArgs(): V8 inlines nothing there.
	// The pointer that they get is nearly always an aligned word of the stack.
	const plain = (name: string, call: CallGate["call"]) => gates.add({ name, passes: "args", call });
	plain("trace_test_and_set_recursion", (bit, start) => {
		try {
			const at = memory.wordAt(bit, PERM.WRITE);
			if (at < 0) guest.checkWritable(bit, 8);
			const taken = trace_test_and_set_recursion(sched.current, start);
			if (at < 0) memory.setKaddr(bit, taken);
			else store(at, taken);
			return false;
		} catch (error) {
			return stopsFor(error, hostCalls);
		}
	});
	plain("trace_clear_recursion", (bit) => {
		trace_clear_recursion(sched.current, bit);
		return false;
	});
	plain("ftrace_next_ops", (ip, ops) => {
		try {
			const at = memory.wordAt(ops, PERM.WRITE);
			if (at < 0) guest.checkWritable(ops, 8);
			const next = ftrace.nextOps(ip, at < 0 ? memory.kaddr(ops) : words[at]!)?.address ?? 0;
			if (at < 0) memory.setKaddr(ops, next);
			else store(at, next);
			return false;
		} catch (error) {
			return stopsFor(error, hostCalls);
		}
	});
	withArgs("call_direct_funcs", (_ip, _parent_ip, ops, fregs) => {
		const direct_call = ftrace.opsByAddress.get(ops)?.direct_call ?? 0;
		if (direct_call !== 0) guest.setKaddr((fregs + PT_REGS.ORIG_RAX) | 0, direct_call);
	});
	withArgs("ftrace_graph_func", (ip, _parent_ip, _ops, fregs) => {
		guest.checkWritable(guest.ownKaddr((fregs + PT_REGS.RSP) | 0), 8);
		graph.ftrace_graph_func(ip, fregs);
	});
	const ftrace_return_to_handler = () => {
		state.setKaddr(RAX, graph.ftrace_return_to_handler());
		return false;
	};
	gates.add({ name: "ftrace_return_to_handler", passes: "state", call: ftrace_return_to_handler });
	// The call-back of every ops whose function is TypeScript.
	withArgs("ftrace_host_func", (ip, parent_ip, ops, fregs) => {
		// A task that was preempted in ftrace_caller, behind the load of function_trace_op, passes the old ops,
		// although another function is called now. The kernel's function_trace_call() would read through that ops.
		const found = ftrace.opsByAddress.get(ops) ?? ftrace.ftrace_trace_function.op;
		found?.call?.(ip, parent_ip, ops, fregs);
	});
}

/** A bad pointer in a gate that does not sleep stops the Cpu as if it slept, because the task must die. Throws all other errors again. */
function stopsFor(error: unknown, hostCalls: HostCalls): boolean {
	if (!(error instanceof GuestFault)) throw error;
	hostCalls.failed(error);
	return true;
}

/** The registers of the six parameters that a function takes in registers (System V ABI, 3.2.3). */
const PARAMETERS = [...ARGUMENT_REGISTERS, R8, R9] as const;

/** next_call of asm/entry_64.S: the next function of the task's program in rax, or 0. */
export function declareProgram(gates: GatePage, { state }: Cpu, sched: Sched, observers: Iterable<Observer>): void {
	const next_call = () => {
		const task = sched.current;
		const { args, next, exitCalls = [] } = task.program;
		const calls = task.exiting ? exitCalls : task.program.calls;
		if (next !== undefined) {
			const call = next(state.words[RAX]!);
			if (call === undefined) state.words[RAX] = 0n;
			else {
				state.words[RAX] = call.func;
				state.words[RDI] = call.argument;
			}
			return false;
		}
		if (task.nextCall > 0) {
			task.lastResult = state.words[RAX]!;
			const called = calls[task.nextCall - 1]!;
			const func = typeof called === "number" ? called : called.last;
			for (const observer of observers) observer.call?.(task, func, task.lastResult);
		}
		if (task.nextCall >= calls.length) {
			task.nextCall = 0;
			state.words[RAX] = 0n;
			return false;
		}
		const call = calls[task.nextCall]!;
		state.setKaddr(RAX, typeof call === "number" ? call : call.resolve());
		state.words[RDI] = BigInt(task.pid);
		for (const [index, value] of args?.entries() ?? []) state.words[PARAMETERS[index]!] = BigInt.asUintN(64, value);
		task.nextCall++;
		return false;
	};
	gates.add({ name: "next_call", passes: "state", call: next_call });
}

/**
 * Gates for host functions. If a function that does not sleep gets an invalid pointer, its gate stops the Cpu as if it
 * slept, because the task must die.
 */
export function declareHostFunctions(gates: GatePage, cpu: Cpu, hostCalls: HostCalls, functions: HostFunctions): void {
	hostCalls.add(functions);
	for (const [name, call] of Object.entries(functions.plain)) {
		gates.add({
			name,
			passes: "state",
			call: () => {
				const { memory } = cpu;
				const { hostFunction } = memory;
				memory.hostFunction = name;
				try {
					const result = call(new GuestArguments(memory, cpu.state));
					if (result !== undefined) cpu.state.words[RAX] = BigInt.asUintN(64, BigInt(result));
					return false;
				} catch (error) {
					return stopsFor(error, hostCalls);
				} finally {
					memory.hostFunction = hostFunction;
				}
			},
		});
	}
	// These gates stop the Cpu: the task may sleep in the host function, or return to guest code.
	for (const name of Object.keys(functions.sleeping)) gates.add({ name, passes: "state", call: () => true });
}
