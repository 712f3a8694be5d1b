import type { Look } from "../../consistency/index.js";
import type { KernelPlace, SavedWorld, TaskOutcome, TaskState } from "../world/index.js";

/** A state of the whole machine without the tasks, and the way to reach it. */
export interface KernelState extends Look {
	readonly id: number;
	readonly key: string;
	/** Undefined for the first. The shortest way to it from a saved state, as far as it is known. */
	via: Via | undefined;
	/** Steps on that way, at most. */
	distance: number;
	/** The saved state, if it is between two operations, and the world of this thread has been in it. */
	saved: SavedWorld | undefined;
	/** What guest code can see of it. */
	readonly guest: string;
	/** States with the same number look the same to guest code. */
	readonly text: number;
	/** States with the same number look the same to the judge. */
	readonly look: number;
	/** The next step of each actor; undefined: it has none. */
	readonly next: readonly (string | undefined)[];
	/** Actors in the middle of a step that do not wait. */
	readonly onCpu: readonly boolean[];
	readonly actorsOnCpu: number;
	/** Of each actor; undefined: it is not in the kernel. */
	readonly inKernel: readonly (KernelPlace | undefined)[];
	/** Actors that wait for klp_mutex, or have no step: they cannot interfere with its holder. */
	readonly outOfTheWay: readonly boolean[];
	/** Slots of the idle tasks that sleep until they are woken. */
	readonly idleAsleep: readonly number[];
	readonly mutexHeld: boolean;
	/** Work for the kworker that may send signals. */
	readonly retries: boolean;
}

/** What a world says about a kernel state that it is in. Plain data. */
export type KernelContent = Omit<KernelState, "id" | "via" | "distance" | "saved" | "text" | "look">;

/** A step by which a state was reached. */
export interface Via {
	readonly from: KernelState;
	readonly actor: number;
	readonly busy: ReadonlySet<number>;
	readonly late: boolean;
	/** The states of all tasks at that time. */
	readonly tasks: readonly TaskState[];
}

/** The next move of a task. */
export interface TaskMove {
	/** Number of the task's next state. */
	readonly to: number;
	readonly outcome: TaskOutcome;
	/** By look of the kernel: true if the move is known to break no invariant there. */
	readonly fineIn: boolean[];
}
