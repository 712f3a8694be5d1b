import type { KlpemuError } from "../base/index.js";
import { type CallGate, type Cpu, type GatePage, RAX, RDI, RDX } from "../cpu/index.js";
import { GuestArguments, type HostFunctions, isBadPointer } from "../linux/exports/index.js";
import { PT_REGS, trace_clear_recursion, trace_test_and_set_recursion } from "../linux/ftrace/index.js";
import type { Klp } from "../linux/klp/index.js";
import type { Machine } from "./machine.js";

/** The gates of cond_resched(): its own, and what the macro of the kernel's headers stands for. */
export const COND_RESCHED: readonly string[] = ["cond_resched", "__cond_resched"];

/** The gates of a machine: kernel functions that are TypeScript. `machine` is there when the first of them is called. */
export function declareGates(gates: GatePage, machine: () => Machine): void {
	declareFtraceGates(gates, machine);
	const withState = (name: string, call: () => boolean) => gates.add({ name, passes: "state", call });
	withState("next_call", () => {
		nextCall(machine());
		return false;
	});
	// These stop the Cpu: what they mean for the task is the machine's business.
	for (const name of COND_RESCHED) {
		withState(name, () => {
			const { klp, cpu, sched } = machine();
			const resched = sched.should_resched(sched.current);
			cpu.state.words[RAX] = resched ? 1n : 0n;
			return klp.klp_sched_try_switch_key || resched;
		});
	}
	for (const name of ["exit_to_user_mode", "kthread_wait", "do_idle", "schedule", "return_to_host"]) {
		withState(name, () => true);
	}
}

/** The hottest gate of all. */
export function declareHandler(gates: GatePage, { patching }: Klp): void {
	const make = (caught: (error: unknown) => number) => patching.klp_ftrace_handler(caught);
	gates.add({ name: "klp_ftrace_handler", passes: "store", takes: RDX, at: PT_REGS.RIP, make });
}

/** What asm/ftrace_64.S calls. */
function declareFtraceGates(gates: GatePage, machine: () => Machine): void {
	const withArgs = (name: string, call: CallGate["call"]) => gates.add({ name, passes: "args", call });
	withArgs("trace_test_and_set_recursion", (bit, start) => {
		const it = machine();
		it.memory.setKaddr(bit, trace_test_and_set_recursion(it.sched.current, start));
		return false;
	});
	withArgs("trace_clear_recursion", (bit) => {
		trace_clear_recursion(machine().sched.current, bit);
		return false;
	});
	withArgs("ftrace_next_ops", (ip, ops) => {
		const { ftrace, memory } = machine();
		memory.setKaddr(ops, ftrace.nextOps(ip, memory.kaddr(ops))?.address ?? 0);
		return false;
	});
	withArgs("call_direct_funcs", (_ip, _parent_ip, ops, fregs) => {
		const { direct_call } = machine().ftrace.opsByAddress.get(ops)!;
		if (direct_call !== 0) machine().memory.setKaddr((fregs + PT_REGS.ORIG_RAX) | 0, direct_call);
		return false;
	});
	// The call-back of every ops whose function is TypeScript.
	withArgs("ftrace_host_func", (ip, parent_ip, ops, fregs) => {
		const { ftrace } = machine();
		// Who was preempted in ftrace_caller, behind the load of function_trace_op, comes with the ops of that time, though what
		// is called is another by now. The kernel's function_trace_call() would read through it.
		const found = ftrace.opsByAddress.get(ops) ?? ftrace.ftrace_trace_function.op;
		found?.call?.(ip, parent_ip, ops, fregs);
		return false;
	});
}

/** next_call of asm/entry_64.S: the next function of the task's program in rax, or 0. */
function nextCall(machine: Machine): void {
	const task = machine.sched.current;
	const { state } = machine.cpu;
	const { calls, next } = task.program;
	if (next !== undefined) {
		const call = next();
		if (call === undefined) state.words[RAX] = 0n;
		else {
			state.setKaddr(RAX, call.func);
			state.words[RDI] = call.argument;
		}
		return;
	}
	if (task.nextCall > 0) {
		task.lastResult = state.words[RAX]!;
		for (const observer of machine.observers) observer.call?.(task, calls[task.nextCall - 1]!, task.lastResult);
	}
	if (task.nextCall >= calls.length) {
		task.nextCall = 0;
		state.words[RAX] = 0n;
		return;
	}
	state.setKaddr(RAX, calls[task.nextCall]!);
	state.words[RDI] = BigInt(task.pid);
	task.nextCall++;
}

/**
 * Gates for host functions. `failed`: called when one has been given a pointer to nowhere; the Cpu stops then as if the function
 * slept, for the task must die.
 */
export function declareHostFunctions(
	gates: GatePage,
	cpu: Cpu,
	functions: HostFunctions,
	failed: (error: KlpemuError) => void,
): void {
	for (const [name, call] of Object.entries(functions.plain)) {
		gates.add({
			name,
			passes: "state",
			call: () => {
				try {
					const result = call(new GuestArguments(cpu.memory, cpu.state));
					if (result !== undefined) cpu.state.words[RAX] = BigInt.asUintN(64, BigInt(result));
					return false;
				} catch (error) {
					if (!isBadPointer(error)) throw error;
					failed(error);
					return true;
				}
			},
		});
	}
	// These stop the Cpu: the task may sleep in there, or come back to guest code.
	for (const name of Object.keys(functions.sleeping)) gates.add({ name, passes: "state", call: () => true });
}
