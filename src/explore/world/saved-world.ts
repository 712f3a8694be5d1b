import type { FromTo } from "../../consistency/index.js";
import type { SavedMachine } from "../../machine/index.js";

/** Result of World.save(). */
export interface SavedWorld {
	readonly machine: SavedMachine;
	readonly indexes: readonly number[];
	readonly transition: FromTo | undefined;
	readonly mayFallAsleep: boolean;
}
