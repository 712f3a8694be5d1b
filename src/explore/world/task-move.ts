import type { Broken } from "../../consistency/index.js";
import type { HandlerPlace } from "../../linux/klp/index.js";
import type { Kaddr } from "../../memory/index.js";

/** What one move of a task did. */
export interface TaskMove {
	readonly label: string;
	/** The task is in klp_ftrace_handler() now. */
	readonly handler: HandlerPlace | undefined;
	/** The handler has chosen this address, and the trampoline has not jumped there yet. */
	readonly chosen: Kaddr | undefined;
	/** The task died, of this. */
	readonly oops?: readonly Broken[];
}

/** A move that does not end in the handler. */
export function moved(label: string): TaskMove {
	return { label, handler: undefined, chosen: undefined };
}
