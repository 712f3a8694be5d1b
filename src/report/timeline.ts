/** A row of a timeline. */
export interface Lane {
	/** Counts from 0: its place in {@link Timeline.lanes}. */
	readonly id: number;
	/**
	 * `steps`: the steps of the scenario. `transition`: the livepatch that is in transition. `cpu`: the task that is on a CPU. `task`: what
	 * happens to a task, and the functions that it runs. `patch_state`: that of the task in the lane `parent`.
	 */
	readonly kind: "steps" | "transition" | "cpu" | "task" | "patch_state";
	readonly name: string;
	/** The number of the CPU, or the pid of the task; of other lanes 0. */
	readonly number: number;
	/** The lane to which it belongs. */
	readonly parent?: number;
}

export type EventCategory =
	| "step"
	| "transition"
	| "task"
	| "patch_state"
	| "function"
	| "kernel"
	| "text_poke"
	| "switch"
	| "wake"
	| "signal"
	| "oops"
	| "dmesg"
	| "violation";

/** A call of a function, with the data of a line of the function tracer. */
export interface TracedCall {
	/** `lp1_funcA [lp1]` */
	readonly func: string;
	readonly parent: string;
	readonly cpu: number;
	/** ftrace knows the function: it has a call site, so that the function tracer can show it. */
	readonly traceable: boolean;
}

export interface TimelineEvent {
	/** In ticks: see {@link Timeline}. */
	readonly at: number;
	/** Number of its {@link Lane}. */
	readonly lane: number;
	/** `begin` and `end` of one lane are balanced, like parentheses. */
	readonly kind: "begin" | "end" | "instant";
	/** Empty for `end`. */
	readonly name: string;
	readonly category: EventCategory;
	readonly details?: Readonly<Record<string, string | number>>;
	/** Numbers of the arrows that begin at this event: each is an action on another task. */
	readonly from?: readonly number[];
	/** Numbers of the arrows that end at it. */
	readonly to?: readonly number[];
	readonly call?: TracedCall;
}

/**
 * All that happened in a run or a replay, in its order. Time counts ticks: one for each guest instruction, and one for each step of
 * kernel code, so that equal runs have equal times.
 */
export interface Timeline {
	/** The scenario's title, with the design. */
	readonly title: string;
	readonly lanes: readonly Lane[];
	/** In the order of time. */
	readonly events: readonly TimelineEvent[];
	/** Guest instructions, all tasks together. */
	readonly instructions: number;
}
