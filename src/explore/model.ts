import type { Kernel } from "../kernel/index.js";
import type { Machine } from "../machine.js";
import type { task_struct } from "../sched/index.js";
import type { WatchedFunction } from "./invariants.js";

/** A task of a model. The order of a model's tasks is the order of a state's columns. */
export interface ModelTask {
	readonly name: string;
	/** Tasks of one group do the same, so that what holds for one of them holds for all. */
	readonly group: string;
	/** It runs guest code: otherwise all it ever does is to switch. */
	readonly runs: boolean;
	/** Some step waits for it, wakes it or ends it: it may not be left out. */
	readonly named: boolean;
	/** It may fork this task, once, at any time that it is in user mode. */
	readonly forks: string | undefined;
	/** It may exit at any time that it is in user mode. */
	readonly exits: boolean;
}

/** One thing that an administrator does: kernel code that runs as that process. */
export interface AdminStep {
	/** For people: `insmod lp3`. */
	readonly title: string;
	/** Tasks with `sleeps_in` may fall asleep meanwhile. */
	readonly mayFallAsleep: boolean;
	/** It is over when all actors that it lets run are through; see {@link Admin.during}. */
	run(): Kernel<unknown>;
}

/** Somebody who makes one step after the other. */
export interface Admin {
	readonly name: string;
	readonly task: task_struct;
	readonly steps: readonly AdminStep[];
	/** It runs only while the first admin is at this step of its own; undefined: it is the first. */
	readonly during: number | undefined;
}

/** How the kernel was built: may a task be taken off its CPU in kernel mode, where it does not sleep? */
export const PREEMPTION = ["none", "full"] as const;
export type Preemption = (typeof PREEMPTION)[number];

/** What the explorer explores: a machine at its beginning, and who may do what with it. */
export interface Model {
	readonly machine: Machine;
	readonly functions: readonly WatchedFunction[];
	readonly tasks: readonly ModelTask[];
	readonly admins: readonly Admin[];
	readonly preemption: Preemption;
	/** Says whether tasks may fall asleep now; the explorer sets it. */
	readonly control: { mayFallAsleep: boolean };
	/** Lets a task fork, or exit. */
	fork(task: string): Kernel<unknown>;
	exit(task: string): Kernel<unknown>;
}
