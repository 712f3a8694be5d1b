import { Hash } from "../../base/index.js";
import { RSP } from "../../cpu/index.js";
import type { Kernel, Point, StepKind, Wait } from "../../linux/lib/index.js";
import type { TaskMode, task_struct } from "../../linux/sched/index.js";
import type { Machine } from "../../machine/index.js";
import type { GuestPlace } from "./guest-code.js";

/**
 * The end of a step of an actor: at a point of that kind, at the end of its code (`end`), or at its beginning, because
 * the actor must wait (`blocked`). At a `place` of a loop, the step has had no effect yet.
 */
export type ArrivalKind = StepKind | "place" | "wait" | "end" | "blocked";

/** Where an actor is in the kernel. */
export interface KernelPlace {
	readonly waits: boolean;
	/** The condition for which it waits, or the title of its step. */
	readonly label: string;
}

/** The actor cannot continue: the condition for which it waits is false. */
export const BLOCKED = { kind: "blocked", label: "blocked" } as const;

/**
 * An actor of the kernel: it makes one step after the other, and each step is kernel code. Actors are the administrators, tasks that
 * fork or end themselves, and the kworker, whose steps are the works that are waiting.
 */
export class Actor {
	readonly name: string;
	readonly task: task_struct;
	/** Index of its present step. The kworker's steps have no index. */
	index = 0;
	/** Name of the work that a kworker runs. */
	work: string | undefined = undefined;
	#code: Kernel<unknown> | undefined = undefined;
	#wait: Wait | undefined = undefined;
	readonly place: GuestPlace = { inGuest: 0, path: [], gates: [] };
	/** Of its task, in guest code. Between the moves of the actor, others do not see them. */
	mode: TaskMode;
	preempt_count = 0;

	constructor(name: string, task: task_struct) {
		this.name = name;
		this.task = task;
		this.mode = task.mode;
	}

	/** The actor is in the middle of a step. */
	get inStep(): boolean {
		return this.#code !== undefined;
	}

	/** The actor is in the middle of a step and does not wait. */
	get onCpu(): boolean {
		return this.#code !== undefined && this.#wait === undefined;
	}

	get wait(): Wait | undefined {
		return this.#wait;
	}

	/** Two actors with the same key, of two worlds, are at the same place of the same step. */
	get key(): string {
		return `${this.index}:${this.#wait !== undefined}:${this.place.path.join(">")}`;
	}

	/** Runs to the next point. `start` makes the code of the next step. Undefined: the step is done. {@link BLOCKED}: it must wait. */
	advance(start: () => Kernel<unknown>): Point | typeof BLOCKED | undefined {
		// How much time passes between two moves is not known: a sleep may be over at any of them.
		if (this.#wait !== undefined && !this.#wait.timed && !this.#wait.ready()) return BLOCKED;
		this.#code ??= start();
		this.#wait = undefined;
		const { done, value } = this.#code.next();
		if (done) {
			this.rewind(this.index);
			return undefined;
		}
		if (typeof value !== "string" && value.kind === "wait") this.#wait = value;
		this.place.path = pathAfter(this.place.path, value);
		return value;
	}

	/** Puts the actor between two steps: before the step `index`. */
	rewind(index: number): void {
		this.index = index;
		this.#code = undefined;
		this.#wait = undefined;
		Object.assign(this.place, { inGuest: 0, path: [], gates: [] });
		this.mode = "host";
		this.preempt_count = 0;
	}
}

/**
 * The path after a point. Of a loop only the last turn is kept: all values that the loop keeps from earlier turns are
 * in `at`.
 */
export function pathAfter(path: readonly string[], point: Point): readonly string[] {
	if (typeof point === "string") return [...path, point];
	if (point.kind === "wait" && point.keeps !== undefined) return [...path, `${point.label}=${point.keeps}`];
	if (point.kind !== "place") return [...path, point.label];
	const loop = `${point.label}@`;
	const begin = path.findIndex((step) => step.startsWith(loop));
	return [...(begin < 0 ? path : path.slice(0, begin)), `${loop}${point.at.join()}`];
}

/** How a step has ended. `quiet`: stories do not show the point. */
export function arrival(point: ReturnType<Actor["advance"]>): {
	readonly label: string;
	readonly kind: ArrivalKind;
	readonly quiet: boolean;
} {
	if (point === undefined) return { label: "done", kind: "end", quiet: true };
	if (typeof point === "string") return { label: point, kind: "step", quiet: false };
	const { label, kind } = point;
	return { label, kind, quiet: kind === "detail" || kind === "blocked" || (kind === "wait" && point.quiet === true) };
}

/** The registers and the stack of an actor in guest code. */
export function guestPlace({ memory, stacks }: Machine, { task, place, preempt_count }: Actor): string {
	if (place.inGuest === 0) return "";
	const hash = new Hash();
	for (const half of task.regs.halves) hash.addInt(half);
	const top = stacks.stackTop(task);
	for (let at = task.regs.kaddr(RSP) & ~7; at < top; at += 4) hash.addInt(memory.i32(at));
	return `@${place.inGuest}:${preempt_count}:${hash.digest()}`;
}
