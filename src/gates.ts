import { type GatePage, R8, R9, RAX, RCX, RDI, RDX, RSI } from "./cpu/index.js";
import { type ftrace_func_t, PT_REGS, trace_clear_recursion, trace_test_and_set_recursion } from "./ftrace/index.js";
import { format, KERN } from "./kernel/index.js";
import type { Machine } from "./machine.js";
import { toKaddr, toU64 } from "./memory/index.js";

/** The longest string that a guest may have printed, in bytes. */
const MAX_STRING = 1024;

/** The gates of a machine: kernel functions that are TypeScript. `machine` is there when the first of them is called. */
export function declareGates(gates: GatePage, machine: () => Machine): void {
	gates.add({
		name: "klp_ftrace_handler",
		passes: "args",
		call: (ip, parent_ip, ops, fregs) => {
			machine().klp.patching.klp_ftrace_handler(ip, parent_ip, ops, fregs);
			return false;
		},
	});
	declareFtraceGates(gates, machine);
	const withState = (name: string, call: () => boolean) => gates.add({ name, passes: "state", call });
	withState("next_call", () => {
		nextCall(machine());
		return false;
	});
	for (const name of ["_printk", "printk"]) {
		withState(name, () => {
			printk(machine());
			return false;
		});
	}
	// These stop the Cpu: what they mean for the task is the machine's business.
	withState("cond_resched", () => machine().klp.transition.klp_sched_try_switch_key);
	for (const name of ["exit_to_user_mode", "kthread_wait", "do_idle", "schedule"]) withState(name, () => true);
}

/** What asm/ftrace_64.S calls. */
function declareFtraceGates(gates: GatePage, machine: () => Machine): void {
	const withState = (name: string, call: (it: Machine, words: BigUint64Array) => void) =>
		gates.add({
			name,
			passes: "state",
			call: () => {
				call(machine(), machine().cpu.state.words);
				return false;
			},
		});
	withState("trace_test_and_set_recursion", (it, words) => {
		words[RAX] = BigInt.asUintN(64, BigInt(trace_test_and_set_recursion(it.executor.current, Number(words[RDX]))));
	});
	withState("trace_clear_recursion", (it, words) => {
		trace_clear_recursion(it.executor.current, Number(words[RDI]));
	});
	withState("ftrace_next_ops", (it, words) => {
		const ops = it.ftrace.nextOps(toKaddr(words[RDI]!), toKaddr(words[RDX]!));
		words[RDX] = toU64(ops?.address ?? 0);
		words[RAX] = toU64(ops?.func ?? 0);
	});
	const withArgs = (name: string, call: ftrace_func_t) =>
		gates.add({
			name,
			passes: "args",
			call: (ip, parent_ip, ops, fregs) => {
				call(ip, parent_ip, ops, fregs);
				return false;
			},
		});
	withArgs("call_direct_funcs", (_ip, _parent_ip, ops, fregs) => {
		const { direct_call } = machine().ftrace.opsByAddress.get(ops)!;
		if (direct_call !== 0) machine().memory.setKaddr((fregs + PT_REGS.ORIG_RAX) | 0, direct_call);
	});
	// The call-back of every ops whose function is TypeScript.
	withArgs("ftrace_host_func", (ip, parent_ip, ops, fregs) => {
		machine().ftrace.opsByAddress.get(ops)!.call!(ip, parent_ip, ops, fregs);
	});
}

/** next_call of asm/entry_64.S: the next function of the task's program in rax, or 0. */
function nextCall(machine: Machine): void {
	const task = machine.executor.current;
	const { state } = machine.cpu;
	const { calls } = task.program;
	if (task.nextCall > 0) {
		task.lastResult = state.words[RAX]!;
		machine.onCall?.(task, calls[task.nextCall - 1]!, task.lastResult);
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

/** printk(): the format in rdi, its arguments in the registers behind. */
function printk(machine: Machine): void {
	const { words } = machine.cpu.state;
	const string = (address: bigint) => stringAt(machine, address);
	const args = [RSI, RDX, RCX, R8, R9].map((register) => words[register]!);
	const text = format(string(words[RDI]!), args, string);
	// KERN_SOH and a digit: the level.
	const hasLevel = text.charCodeAt(0) === 1;
	const level = hasLevel ? Number(text[1]) : KERN.INFO;
	const lines = (hasLevel ? text.slice(2) : text).replace(/\n$/, "").split("\n");
	for (const line of lines) machine.dmesg.print(level, line);
}

function stringAt(machine: Machine, address: bigint): string {
	let text = "";
	for (let at = address; machine.memory.permissions(at) !== 0 && text.length < MAX_STRING; at++) {
		const [byte] = machine.memory.read(at, 1);
		if (byte === 0) break;
		text += String.fromCharCode(byte!);
	}
	return text;
}
