import type { Broken } from "../../consistency/index.js";
import type { HandlerPlace } from "../../linux/klp/index.js";
import type { Kaddr } from "../../memory/index.js";

/** The effect of one move of a task. */
export interface TaskMove {
	readonly label: string;
	/** The task is in klp_ftrace_handler() now. */
	readonly handler?: HandlerPlace;
	/** The task is in a livepatch core that is guest code: the shared values that it has read there. */
	readonly core?: string | undefined;
	/** The task is in cond_resched(), or in schedule() and does not sleep: it may lose its CPU there. */
	readonly yields?: boolean;
	/** What it does in a loop that is not followed to its end. */
	readonly endless?: string;
	/** Where that is; undefined: where it is at the end of the move. */
	readonly entries?: readonly Kaddr[];
	/** The task died. */
	readonly oops?: Broken;
}
