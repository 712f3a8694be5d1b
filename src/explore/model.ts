import type { WatchedFunction } from "../consistency/index.js";
import type { Kernel } from "../linux/lib/index.js";
import type { task_struct } from "../linux/sched/index.js";
import type { Machine } from "../machine/index.js";

/** A task of a model. The order of a model's tasks is the order of a state's columns. */
export interface ModelTask {
	readonly name: string;
	/** Tasks of one group do the same, so that what holds for one of them holds for all. */
	readonly group: string;
	/** It runs guest code: otherwise all it ever does is to switch. */
	readonly runs: boolean;
	/** Some step waits for it, wakes it or ends it: it may not be left out. */
	readonly named: boolean;
}

/** One thing that an administrator does: kernel code that runs as that process. */
export interface AdminStep {
	/** For people: `insmod lp3`. */
	readonly title: string;
	/** Tasks with `sleeps_in` may fall asleep meanwhile. */
	readonly mayFallAsleep: boolean;
	run(): Kernel<unknown>;
}

/** An actor that makes one step after the other. */
export interface Admin {
	readonly name: string;
	readonly task: task_struct;
	readonly steps: readonly AdminStep[];
	/** It runs only while the first admin is at this step of its own; undefined: at any time. */
	readonly during: number | undefined;
	/** The task of the scenario that does this itself, in user mode; undefined: it is an administrator. */
	readonly of: string | undefined;
}

/** What the explorer explores: a machine at its beginning, and the actors with their steps. */
export interface Model {
	readonly machine: Machine;
	readonly functions: readonly WatchedFunction[];
	readonly tasks: readonly ModelTask[];
	readonly admins: readonly Admin[];
	/**
	 * No task of the scenario ever runs: an idle task sleeps in its loop until wake_up_if_idle() wakes it. Where tasks run, they come by
	 * on every CPU, and the idle task goes through its loop after each of them.
	 */
	readonly idleSleeps: boolean;
	/**
	 * Set by the explorer: whether tasks may fall asleep now, and whether all administrators that race with each other are
	 * through.
	 */
	readonly control: { mayFallAsleep: boolean; racersDone: () => boolean };
}
