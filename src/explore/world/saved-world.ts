import type { FromTo } from "../../consistency/index.js";
import type { SavedMachine } from "../../machine/index.js";

/** Result of World.save(). */
export interface SavedWorld {
	readonly machine: SavedMachine;
	/** `waits`: its step is begun again when the world is restored, and waits first. */
	readonly actors: readonly { readonly index: number; readonly waits: boolean }[];
	readonly transition: FromTo | undefined;
	readonly mayFallAsleep: boolean;
}
