import { type GatePage, R8, R9, RAX, RCX, RDI, RDX, RSI } from "./cpu/index.js";
import { format, KERN } from "./kernel/index.js";
import type { Machine } from "./machine.js";

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
	gates.add({
		name: "ftrace_ops_list_func",
		passes: "args",
		call: (ip, parent_ip, _ops, fregs) => {
			machine().ftrace.ftrace_ops_list_func(ip, parent_ip, fregs);
			return false;
		},
	});
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
