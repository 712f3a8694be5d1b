import type { Fault } from "../cpu/index.js";
import type { KlpObserver } from "../linux/klp/index.js";
import type { task_struct } from "../linux/sched/index.js";
import type { Kaddr } from "../memory/index.js";

/** What a machine tells those who watch it: see `Machine.observe`. An observer must not throw, except to end the run. */
export interface Observer extends KlpObserver {
	/** A step of kernel code has been made whose effect other tasks or CPUs can see: the label that it yielded. */
	point?(label: string): void;
	/** A task dies of a fault at `rip`. */
	oops?(task: task_struct, fault: Fault, rip: bigint): void;
	/** A task has made a call of its program: the function, and rax as it came back. */
	call?(task: task_struct, func: Kaddr, result: bigint): void;
	/** The Cpu is about to execute the instruction at `rip`. Slow: the Cpu interprets while anybody observes this. */
	instruction?(rip: bigint): void;
}
