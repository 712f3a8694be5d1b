import { declareState } from "../../base/index.js";

/**
 * Kernel code that other tasks can race with is a generator. It yields a {@link Point} after each access that the
 * kernel orders or locks around. The driver of the generator decides which task continues there: `run` continues the
 * same task (and checks the invariants), `explore` tries every move.
 */
export type Kernel<T> = Generator<Point, T, void>;

/**
 * The place of kernel code. A string is a step that has been made, as function and access: `"klp_patch_func:
 * list_add_rcu"`. Drivers use the kind of a point, never its label: labels are for reports, and part of saved
 * schedules.
 */
export type Point = string | Mark | Place | Wait;

/** A step that has been made, and that a driver treats in its own way. */
export interface Mark {
	/**
	 * `turn`: the end of one turn of a loop over all tasks; the turn read and changed one task only. `done`: a
	 * transition has ended. `detail`: a step that stories do not show.
	 */
	readonly kind: "turn" | "done" | "detail";
	readonly label: string;
}

/** Kind of a step that has been made. */
export type StepKind = "step" | Mark["kind"];

/** Kernel code that waits: it cannot continue before `ready` is true. */
export interface Wait {
	readonly kind: "wait";
	readonly label: string;
	ready(): boolean;
	/** The lock that it waits for, if it is one. */
	readonly lock?: { readonly locked: boolean };
	/** Stories do not show it. */
	readonly quiet?: boolean;
	/** For a task that may be in the middle of a wait itself: a work that waits so is put aside, not waited for. */
	readonly aside?: boolean;
	/** The task does not sleep: it has lost its CPU. */
	readonly preempted?: boolean;
	/** What the code keeps over the wait in its variables: it continues in another way with another value. */
	readonly keeps?: boolean;
	/** It ends by itself when time has passed. */
	readonly timed?: boolean;
}

/**
 * The beginning of a turn of a loop: no effect that another task could see has happened, and no task must wait. `at`
 * holds all values that the loop keeps from earlier turns, so that the explorer can recognise two turns that continue
 * in the same way.
 */
export interface Place {
	readonly kind: "place";
	readonly label: string;
	readonly at: readonly (string | number | boolean)[];
}

export function place(label: string, ...at: Place["at"]): Place {
	return { kind: "place", label, at };
}

export function wait(label: string, ready: () => boolean): Wait {
	return { kind: "wait", label, ready };
}

/** See {@link Mark}. */
export function turn(label: string): Mark {
	return { kind: "turn", label };
}

/** See {@link Mark}. */
export function done(label: string): Mark {
	return { kind: "done", label };
}

/** See {@link Mark}. */
export function detail(label: string): Mark {
	return { kind: "detail", label };
}

export function labelOf(point: Point): string {
	return typeof point === "string" ? point : point.label;
}

/** The point is a step that has been made. */
export function isStep(point: Point): boolean {
	return typeof point === "string" || (point.kind !== "place" && point.kind !== "wait");
}

/** Kernel code can continue without a wait. */
export function isReady(point: Point): boolean {
	return typeof point === "string" || point.kind !== "wait" || point.ready();
}

/** Called for each step that has been made. */
export type Visit = (label: string, kind: StepKind) => void;

/** Calls `visit` for a point that is a step which has been made. */
export function tellStep(point: Point, visit: Visit): void {
	if (typeof point === "string") visit(point, "step");
	else if (point.kind !== "place" && point.kind !== "wait") visit(point.label, point.kind);
}

/** A sleeping lock. `holder` is for messages only. */
export class mutex {
	static readonly state = declareState("mutex", { fields: "all" });

	readonly name: string;
	locked = false;

	constructor(name: string) {
		this.name = name;
	}

	*lock(): Kernel<void> {
		// Each waiting task checks again, because another task may have taken the lock first.
		while (this.locked) yield { ...wait(`mutex_lock(${this.name})`, () => !this.locked), lock: this };
		this.locked = true;
	}

	unlock(): void {
		this.locked = false;
	}
}

/** Drives kernel code to its end. A wait whose condition does not hold is `block`ed on, which must make it hold or throw. */
export function runStraight<T>(
	code: Kernel<T>,
	visit: Visit = () => {},
	block: (wait: Wait) => void = (wait) => {
		throw new Error(`${wait.label}: would wait forever, no other task runs`);
	},
): T {
	for (;;) {
		const { done, value } = code.next();
		if (done) return value as T;
		if (typeof value === "string" || value.kind !== "wait") tellStep(value, visit);
		else if (!value.ready()) block(value);
	}
}
