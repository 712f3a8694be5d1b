import type { OopsObserver } from "../linux/guest/index.js";
import type { KlpObserver } from "../linux/klp/index.js";
import type { PointObserver } from "../linux/lib/index.js";
import type { task_struct } from "../linux/sched/index.js";
import type { Kaddr } from "../memory/index.js";

/**
 * The events that a machine reports to its observers, see `Machine.observe`. An observer must not throw, except to end the
 * run.
 */
export interface Observer extends PointObserver, OopsObserver, KlpObserver {
	/** A call of a task's program has returned: the function, and its rax. */
	call?(task: task_struct, func: Kaddr, result: bigint): void;
	/** A round begins: the Cpu executes nothing now. */
	round?(): void;
	/** The Cpu is about to execute the instruction at `rip`. Slow: the Cpu interprets while an observer uses this. */
	instruction?(rip: bigint): void;
}
