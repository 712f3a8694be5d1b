import { type Cpu, RCX, RDX, RIP } from "../../cpu/index.js";
import { PT_REGS } from "../../linux/ftrace/index.js";
import { HANDLER_AT, type HandlerAt, type klp_ops } from "../../linux/klp/index.js";
import type { task_struct } from "../../linux/sched/index.js";
import type { Machine } from "../../machine/index.js";
import type { Kaddr } from "../../memory/index.js";
import { describeEntry, findEntry, idOf } from "./entries.js";
import { functionOf } from "./stack-view.js";
import type { TaskMove } from "./task-move.js";
import type { HandlerPlace } from "./task-state.js";

/** Runs klp_ftrace_handler() for a task, one read of shared data at a time. */
export class HandlerWalk {
	readonly #machine: Machine;
	readonly #cpu: Cpu;
	/** Where the trampoline calls the handler. */
	readonly gate: Kaddr;

	constructor(machine: Machine) {
		this.#machine = machine;
		this.#cpu = machine.cpu;
		this.gate = machine.klp.env.klp_ftrace_handler_address;
	}

	/**
	 * The task takes the recursion lock and reads the first entry. To hold the lock before the first read only delays other tasks, so
	 * that both are one move.
	 */
	enter(task: task_struct): TaskMove {
		const fops = task.regs.kaddr(RDX);
		const locked = this.#next(task, { label: "", fops, func: undefined, flag: undefined });
		return locked.handler === undefined ? locked : this.#next(task, locked.handler);
	}

	/** Goes on from `at`. */
	step(task: task_struct, at: HandlerPlace): TaskMove {
		this.#cpu.state.words.set(task.regs.words);
		return this.#next(task, at);
	}

	#next(task: task_struct, at: HandlerPlace): TaskMove {
		const { klp, ftrace } = this.#machine;
		const ops = ftrace.opsByAddress.get(at.fops);
		const owner = ops?.owner as klp_ops | undefined;
		if (ops === undefined || owner?.freed) return this.#readsFreed(task, at, "klp_ops");
		const func = at.func === undefined ? undefined : findEntry(this.#machine, at.func);
		if (at.func !== undefined && (func === undefined || func.freed)) {
			return this.#readsFreed(task, at, `klp_func, ${describeEntry(at.func)}`);
		}
		const from: HandlerAt | undefined =
			at.label === "" ? undefined : { label: at.label, func, ...(at.flag !== undefined && { flag: at.flag }) };
		const next = klp.patching.klp_ftrace_handler_step(ops, task.regs.kaddr(RCX), from);
		if (next === undefined) return this.#return(task, at);
		const id = next.func === undefined ? undefined : idOf(this.#machine, next.func);
		if (next.func !== undefined && id === undefined) {
			klp.invalidRead(
				`${task.comm} finds a klp_func in func_stack that is gone with its module: ${next.func.new_name}`,
			);
			return this.#return(task, at);
		}
		const found = next.label === HANDLER_AT.func_stack ? ` (${next.func?.nop ? "nop" : next.func?.new_name})` : "";
		return {
			label: `${next.label}${found}`,
			handler: { label: next.label, fops: at.fops, func: id, flag: next.flag },
			chosen: undefined,
		};
	}

	#readsFreed(task: task_struct, at: HandlerPlace, what: string): TaskMove {
		const where = `in klp_ftrace_handler(), behind "${at.label}"`;
		this.#machine.klp.invalidRead(`${task.comm} is ${where}, and goes on to read a freed ${what}`);
		return this.#return(task, at);
	}

	/** The task goes on behind the gate's nop, as if the Cpu had called the handler there. */
	#return(task: task_struct, at: HandlerPlace): TaskMove {
		const { klp, ftrace, memory } = this.#machine;
		task.trace_recursion = 0;
		task.regs.setKaddr(RIP, (this.gate + 1) | 0);
		const chosen = memory.kaddr((task.regs.kaddr(RCX) + PT_REGS.RIP) | 0);
		const owner = ftrace.opsByAddress.get(at.fops)?.owner as klp_ops | undefined;
		const range = owner === undefined ? undefined : klp.env.kallsyms_lookup_size_offset(chosen);
		const redirected = range?.offset === 0;
		const ip = redirected ? `ip = ${functionOf(this.#machine.symbolize(chosen))}` : "the original";
		return {
			label: `klp_ftrace_handler: ${ip}`,
			handler: undefined,
			chosen: redirected ? chosen : undefined,
		};
	}
}
