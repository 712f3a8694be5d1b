import { type Cpu, RCX, RDX, RIP } from "../../cpu/index.js";
import { PT_REGS } from "../../linux/ftrace/index.js";
import { GuestMemory } from "../../linux/guest/index.js";
import type { HandlerPlace } from "../../linux/klp/index.js";
import type { task_struct } from "../../linux/sched/index.js";
import type { Machine } from "../../machine/index.js";
import type { Kaddr } from "../../memory/index.js";
import { functionOf } from "./stack-view.js";
import type { TaskMove } from "./task-move.js";

/** Runs klp_ftrace_handler() for a task, one read of shared data at a time. */
export class HandlerWalk {
	readonly #machine: Machine;
	readonly #cpu: Cpu;

	constructor(machine: Machine) {
		this.#machine = machine;
		this.#cpu = machine.cpu;
	}

	/** Address at which the trampoline calls the handler. */
	get gate(): Kaddr {
		return this.#machine.klp.klp_ftrace_handler_address;
	}

	/**
	 * The task takes the recursion lock and reads the first entry. To hold the lock before the first read only delays other tasks, so
	 * that both are one move.
	 */
	enter(task: task_struct): TaskMove {
		const fops = task.regs.kaddr(RDX);
		new GuestMemory(this.#machine.memory).checkWritable((task.regs.kaddr(RCX) + PT_REGS.RIP) | 0, 8);
		const locked = this.#next(task, undefined, fops);
		return locked.handler === undefined ? locked : this.#next(task, locked.handler, fops);
	}

	/** Continues from `at`. */
	step(task: task_struct, at: HandlerPlace): TaskMove {
		this.#cpu.state.words.set(task.regs.words);
		return this.#next(task, at, at.fops);
	}

	#next(task: task_struct, at: HandlerPlace | undefined, fops: Kaddr): TaskMove {
		const { place, title } = this.#machine.klp.handlerStep(at, fops, task.regs.kaddr(RCX));
		return place === undefined ? this.#return(task) : { label: title, handler: place };
	}

	/** The task continues behind the gate's nop, as if the Cpu had called the handler there. */
	#return(task: task_struct): TaskMove {
		const machine = this.#machine;
		task.trace_recursion = 0;
		task.regs.setKaddr(RIP, (this.gate + 1) | 0);
		const ip = machine.memory.kaddr((task.regs.kaddr(RCX) + PT_REGS.RIP) | 0);
		const redirected = machine.kallsyms.kallsyms_lookup_size_offset(ip)?.offset === 0;
		const chosen = redirected ? `ip = ${functionOf(machine.symbolize(ip))}` : "the original";
		return { label: `klp_ftrace_handler: ${chosen}` };
	}
}
