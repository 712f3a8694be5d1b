import type { MachineDescription, Versions } from "./host.js";

/** In `/call` rows the cost of the loop itself is subtracted already. */
export type Unit = "ns/call" | "insns/call" | "ms" | "bytes" | "per s" | "points" | "rounds" | "insns";

/** Names a row in all reports. */
export interface RowKey {
	readonly suite: string;
	/** The measured case: `depth4`, `tasks/busy/1000`. */
	readonly id: string;
	readonly design: string;
	/** The Cpu that ran it; `-` if no Cpu is involved. */
	readonly cpu: string;
	readonly unit: Unit;
}

/** One number, measured by one process. */
export interface Measured extends RowKey {
	/** Title for the reader. */
	readonly what: string;
	readonly value: number;
	/** The same in every run, on every machine: a count. */
	readonly exact: boolean;
	/** `ns/call`: the spread of the samples, from the fastest to the third quartile, as part of their median. */
	readonly within?: number;
	/** Times of one piece of work: see `Timed`. */
	readonly crowding?: number;
}

/** A case that a design does not have, and the reason. */
export interface Absent extends RowKey {
	readonly what: string;
	readonly reason: string;
}

/** The results of one process. */
export interface Part {
	readonly rows: readonly Measured[];
	readonly absent: readonly Absent[];
}

/** One number, from all processes that measured it. */
export interface Row extends RowKey {
	readonly what: string;
	readonly exact: boolean;
	/**
	 * One value per process: times of different processes are independent of each other, times of one process are not.
	 */
	readonly runs: readonly number[];
	readonly median: number;
	readonly min: number;
	readonly max: number;
	/** (max - min) / median. */
	readonly spread: number;
	/** Reasons why it is not reliable. */
	readonly warnings: readonly string[];
}

/** A curve through rows: y = c * x^exponent from `from` on. */
export interface Fit {
	readonly curve: string;
	readonly what: string;
	readonly x: "tasks" | "functions" | "depth";
	readonly design: string;
	readonly cpu: string;
	readonly unit: Unit;
	readonly points: readonly (readonly [number, number])[];
	/** The fit uses the points from this x on; below it, costs that do not depend on x are too large. */
	readonly from: number;
	readonly exponent: number;
	readonly r2: number;
}

/** A figure of another machine, from bench/reference.json. */
export interface Reference {
	/** `time`: compared as a ratio. `instructions`: as a difference. */
	readonly kind: "time" | "instructions";
	/** The corresponding row of this report. */
	readonly row: string;
	/** The Cpu of that row; default jit. */
	readonly cpu?: string;
	readonly what: string;
	/** ns, or instructions. */
	readonly value: number;
	/** The base of the comparison, on the same machine and in the same unit. */
	readonly relativeTo: { readonly row: string; readonly cpu?: string; readonly what: string; readonly value: number };
	readonly where: string;
	readonly source: string;
	readonly date: string;
}

/** A reference with our value. */
export interface Comparison extends Reference {
	/** value / relativeTo.value, or value - relativeTo.value. */
	readonly theirs: number;
	/** The same for our rows; null if this run does not have them. */
	readonly ours: number | null;
	/** Our own value, in the unit of `value`. */
	readonly oursRaw: number | null;
	/** As `ours`, with the kernel's own livepatch code; null or absent if this run does not have it. */
	readonly kernel?: number | null;
}

export interface BenchReport {
	readonly schema: 1;
	readonly date: string;
	readonly smoke: boolean;
	readonly processes: number;
	readonly machine: MachineDescription;
	readonly versions: Versions;
	readonly warnings: readonly string[];
	readonly rows: readonly Row[];
	readonly absent: readonly Absent[];
	readonly fits: readonly Fit[];
	readonly comparisons: readonly Comparison[];
}
