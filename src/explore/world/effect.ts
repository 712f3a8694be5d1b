import type { Broken } from "../../consistency/index.js";
import type { AccessNotes } from "./access-log.js";
import type { ArrivalKind } from "./actors.js";
import type { GuestContext } from "./decisive.js";
import type { Read, Written } from "./probe.js";
import type { TaskState } from "./task-state.js";

/** The effect of a step of kernel code on tasks. */
export interface Effect {
	readonly reads: readonly Read[];
	/** Fields written, by slot. */
	readonly writes: ReadonlyMap<number, Written>;
	/** Tasks that were created or removed, or replaced by another task of the same name: their whole new state. */
	readonly replaced: ReadonlyMap<number, TaskState>;
	/** Of these: with which registers and stack. */
	readonly captured: ReadonlyMap<number, GuestContext>;
	/** Present place of the actor. */
	readonly label: string;
	readonly kind: ArrivalKind;
	/** Stories do not show the point. */
	readonly quiet: boolean;
	readonly broken: readonly Broken[];
}

/** Result of a move of a task. */
export interface TaskOutcome {
	readonly state: TaskState;
	/** The registers and the stack with which it has come there. */
	readonly context: GuestContext;
	readonly label: string;
	readonly broken: readonly Broken[];
	/** It is in a loop without an end: what comes behind is not known. */
	readonly endless?: string | undefined;
	/**
	 * What it has noted about memory, if it follows from the task's state, registers and stack, and from what guest code sees: then it is
	 * the same under another design.
	 */
	readonly plain?: AccessNotes | undefined;
}
