import type { WatchedFunction } from "../consistency/index.js";
import type { Kernel } from "../linux/lib/index.js";
import type { task_struct } from "../linux/sched/index.js";
import type { Machine } from "../machine/index.js";
import type { DesignAsks } from "./asks.js";

/** A task of a model. The order of a model's tasks is the order of a state's columns. */
export interface ModelTask {
	readonly name: string;
	/** Tasks of one group do the same, so that a result for one of them is valid for all. */
	readonly group: string;
	/** True if it runs guest code. Otherwise its only move is to switch. */
	readonly runs: boolean;
	/** True if a step waits for it, wakes it or ends it: the search must not leave it out. */
	readonly named: boolean;
}

/** One action of an administrator: kernel code that runs as that process. */
export interface AdminStep {
	/** For reports: `insmod lp3`. */
	readonly title: string;
	/** Tasks with `sleeps_in` may fall asleep during the step. */
	readonly mayFallAsleep: boolean;
	/** It waits in user mode, if it waits: that it waits for ever is no deadlock of the kernel. */
	readonly outside: boolean;
	/** It makes tasks or ends them: it takes tasklist_lock for writing. */
	readonly writesTasklist: boolean;
	run(): Kernel<unknown>;
}

/** An actor that makes one step after the other. */
export interface Admin {
	readonly name: string;
	readonly task: task_struct;
	readonly steps: readonly AdminStep[];
	/** It runs only while the first administrator is at the step with this index; undefined: at any time. */
	readonly during: number | undefined;
	/**
	 * The task of the scenario that makes these steps itself, in user mode; undefined: the actor is an administrator.
	 */
	readonly of: string | undefined;
}

/** The input of the explorer: a machine in its initial state, and the actors with their steps. */
export interface Model {
	readonly machine: Machine;
	/** It grows when a livepatch in C enables itself; an exploration in which it has grown begins again. */
	readonly functions: readonly WatchedFunction[];
	readonly tasks: readonly ModelTask[];
	readonly admins: readonly Admin[];
	/** Kworkers for the works of guest code: none if no object queues any. */
	readonly kworkers: readonly task_struct[];
	/**
	 * True if no task of the scenario ever runs: then an idle task sleeps in its loop until wake_up_if_idle() wakes it.
	 * Otherwise tasks run on every CPU, and the idle task runs through its loop after each of them.
	 */
	readonly idleSleeps: boolean;
	/**
	 * Set by the explorer: `mayFallAsleep`: tasks may fall asleep now; `racersDone`: all administrators that race with
	 * each other have finished.
	 */
	readonly control: { mayFallAsleep: boolean; racersDone: () => boolean };
	/** What kernel code asks its design for; undefined: nobody wants to know. */
	readonly asks?: DesignAsks | undefined;
	/** Of a model of the same scenario in several threads; undefined: it cannot be explored by several. */
	readonly notes?: ModelNotes;
}

/** What a model gets to know from executions, besides what the explorer itself looks at. Plain data. */
export interface ModelNotes {
	/** What was noted since the last call; from the first call on it is kept for that. */
	take(): readonly unknown[];
	/** Notes what another model of the scenario has noted. */
	add(notes: readonly unknown[]): void;
	/** The functions that only the code of livepatches names, as far as it has run. */
	watched(): readonly string[];
	/** Watches these of them, and no others. */
	watch(places: readonly string[]): void;
}
