import type { Kaddr } from "../memory/index.js";

/** A function that livepatches of a scenario change. */
export interface WatchedFunction {
	/** Name in the scenario: `funcA`, `funcA#2`. */
	readonly name: string;
	/** Its address and its size in bytes; undefined while its module is not loaded. */
	resolve(): { readonly address: Kaddr; readonly size: number } | undefined;
}
