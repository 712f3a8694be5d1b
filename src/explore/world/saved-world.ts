import type { FromTo } from "../../consistency/index.js";
import type { SavedMachine } from "../../machine/index.js";
import type { Slot } from "./slot.js";
import type { TaskState } from "./task-state.js";

/** Result of World.save(). */
export interface SavedWorld {
	readonly machine: SavedMachine;
	readonly indexes: readonly number[];
	readonly transition: FromTo | undefined;
	readonly mayFallAsleep: boolean;
}

/** Result of World.keep(). */
export interface KeptWorld {
	readonly saved: SavedWorld;
	/** By slot. */
	readonly tasks: readonly (Readonly<Pick<Slot, "context" | "origins">> & { readonly state: TaskState })[];
}
