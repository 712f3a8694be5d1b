import type { MachineDescription, Versions } from "./host.js";

/** `/call` rows have the loop's own cost taken off already. */
export type Unit = "ns/call" | "insns/call" | "ms" | "bytes" | "per s" | "points" | "rounds" | "insns";

/** Names a row in all reports. */
export interface RowKey {
	readonly suite: string;
	/** What is measured: `depth4`, `tasks/busy/1000`. */
	readonly id: string;
	readonly design: string;
	/** The Cpu that ran it; `-` where none is involved. */
	readonly cpu: string;
	readonly unit: Unit;
}

/** One number, as a process measured it. */
export interface Measured extends RowKey {
	/** For people. */
	readonly what: string;
	readonly value: number;
	/** The same in every run, on every machine: a count. */
	readonly exact: boolean;
	/** `ns/call`: how far apart the samples lie, third quartile to fastest, as part of their median. */
	readonly within?: number;
	/** Times of one piece of work: see `Timed`. */
	readonly crowding?: number;
}

/** What a design does not do, and how one sees that. */
export interface Absent extends RowKey {
	readonly what: string;
	readonly reason: string;
}

/** What one process has to say. */
export interface Part {
	readonly rows: readonly Measured[];
	readonly absent: readonly Absent[];
}

/** One number, from all processes that measured it. */
export interface Row extends RowKey {
	readonly what: string;
	readonly exact: boolean;
	/** One value a process; times of different processes are independent of each other, those of one are not. */
	readonly runs: readonly number[];
	readonly median: number;
	readonly min: number;
	readonly max: number;
	/** (max - min) / median. */
	readonly spread: number;
	/** Why it is not to be trusted. */
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
	/** Over the points from this x on; below it, what does not depend on x weighs too much. */
	readonly from: number;
	readonly exponent: number;
	readonly r2: number;
}

/** A figure of another machine, from bench/reference.json. */
export interface Reference {
	/** `time`: compared as a ratio. `instructions`: as a difference. */
	readonly kind: "time" | "instructions";
	/** Our row that does the same. */
	readonly row: string;
	/** The Cpu that ours is to be taken from; default jit. */
	readonly cpu?: string;
	readonly what: string;
	/** ns, or instructions. */
	readonly value: number;
	/** What it is relative to, on the same machine and in the same unit. */
	readonly relativeTo: { readonly row: string; readonly cpu?: string; readonly what: string; readonly value: number };
	readonly where: string;
	readonly source: string;
	readonly date: string;
}

/** A reference beside ours. */
export interface Comparison extends Reference {
	/** value / relativeTo.value, or value - relativeTo.value. */
	readonly theirs: number;
	/** The same of our rows; null when this run does not have them. */
	readonly ours: number | null;
	/** Our own value, in the unit of `value`. */
	readonly oursRaw: number | null;
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
