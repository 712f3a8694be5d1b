import { KlpemuError } from "../../base/index.js";
import type { Fault } from "../../cpu/index.js";
import { hex } from "../../memory/index.js";
import type { Symbols } from "../ftrace/index.js";
import { type Dmesg, Printer } from "../lib/index.js";
import type { HostTasks, Sched, task_struct } from "../sched/index.js";

/** The events that observers are told here. */
export interface OopsObserver {
	/** A task dies of a fault at `rip`. `task.oops` says what happened. */
	oops?(task: task_struct, fault: Fault, rip: bigint): void;
}

/** The end of a task that has done what no kernel survives (arch/x86/kernel/dumpstack.c, oops_end). */
export class Oops {
	readonly #print: Printer;
	readonly #symbols: Symbols;
	readonly #sched: Sched;
	readonly #hostTasks: HostTasks;
	readonly #observers: Iterable<OopsObserver>;

	constructor(parts: {
		readonly dmesg: Dmesg;
		readonly symbols: Symbols;
		readonly sched: Sched;
		readonly hostTasks: HostTasks;
		readonly observers: Iterable<OopsObserver>;
	}) {
		this.#print = new Printer(parts.dmesg, "");
		this.#symbols = parts.symbols;
		this.#sched = parts.sched;
		this.#hostTasks = parts.hostTasks;
		this.#observers = parts.observers;
	}

	/** Says why `task` dies, and takes it off the task list. */
	die(task: task_struct, fault: Fault, rip: bigint): void {
		const where = this.#symbols.symbolize(Number(BigInt.asIntN(32, rip)));
		const what =
			fault.kind === "page-fault"
				? `BUG: unable to handle page fault for address: ${hex(fault.address ?? 0n)}`
				: `Oops: ${fault.kind}`;
		this.#print.pr_warn(what);
		this.#print.pr_warn(`RIP: 0010:${where}${fault.detail ? ` (${fault.detail})` : ""}`);
		task.oops = `${what} at ${where}`;
		for (const observer of this.#observers) observer.oops?.(task, fault, rip);
		this.#sched.remove(task);
		this.#hostTasks.replace(task);
	}

	/** The same in the middle of kernel code in TypeScript, which cannot go on. Throws `GUEST_OOPS`. */
	dieInCall(task: task_struct, fault: Fault, rip: bigint): never {
		this.die(task, fault, rip);
		throw new KlpemuError("GUEST_OOPS", `${task.comm} died in guest code: ${task.oops}`);
	}
}
