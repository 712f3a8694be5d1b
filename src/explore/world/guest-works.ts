import { KlpemuError } from "../../base/index.js";
import type { Kernel } from "../../linux/lib/index.js";
import type { task_struct } from "../../linux/sched/index.js";
import type { Machine } from "../../machine/index.js";
import type { Actor } from "./actors.js";
import { functionOf } from "./stack-view.js";

/** The works that guest code queues. Kworkers of the explorer run them: actors, so that they have points where they share memory. */
export class GuestWorks {
	readonly #machine: Machine;
	readonly #kworkers: readonly string[];

	/** `kworkers`: none if no object queues a work. */
	constructor(machine: Machine, kworkers: readonly task_struct[]) {
		this.#machine = machine;
		this.#kworkers = kworkers.map(({ comm }) => comm);
		machine.exports.work.serve(kworkers);
	}

	/** Name of the next work; undefined: there is none. */
	get next(): string | undefined {
		const func = this.#machine.exports.work.nextFunc;
		return func === undefined ? undefined : functionOf(this.#machine.symbolize(func));
	}

	/** Runs the next work. */
	run(kworker: task_struct): Kernel<void> {
		return this.#machine.exports.work.run(kworker, this.#machine.calls);
	}

	/**
	 * Throws `EXPLORE_UNSUPPORTED` if all kworkers wait and a work is queued: in the kernel a further one would run it, so that the wait
	 * must not become a verdict.
	 */
	checkKworkers(actors: readonly Actor[]): void {
		const work = this.#kworkers.length === 0 ? undefined : this.next;
		if (work === undefined) return;
		const waits = ({ name, wait }: Actor) => !this.#kworkers.includes(name) || wait !== undefined;
		if (!actors.every(waits)) return;
		const message = `work '${work}' is queued while ${this.#kworkers.length} others wait: no more kworkers are explored`;
		throw new KlpemuError("EXPLORE_UNSUPPORTED", message, {
			hint: "let fewer works wait for each other, or use klpemu run",
		});
	}
}

/** What all tasks share, and a move of a task must leave as it was: the memo takes it for a change of that task only. */
interface Shared {
	readonly works: number;
	readonly heap: string;
}

export function whatTasksShare({ exports, heap }: Machine): Shared {
	return { works: exports.work.length, heap: heap.layout };
}

/** Throws `EXPLORE_UNSUPPORTED` if a move of `task` has changed it. */
export function checkShared(before: Shared, machine: Machine, task: task_struct): void {
	const after = whatTasksShare(machine);
	const queues = after.works !== before.works;
	if (!queues && after.heap === before.heap) return;
	const what = queues ? "queues a work" : "has allocated or freed memory at the end of a move";
	throw new KlpemuError("EXPLORE_UNSUPPORTED", `${task.comm} ${what}: that cannot be explored`, {
		hint: "a module's init, or a callback, can do it; klpemu run does all",
	});
}
