import { declareState } from "../../base/index.js";
import type { Kernel } from "../lib/index.js";

/** A piece of deferred kernel code, which runs in a kworker. */
export interface work_struct {
	readonly name: string;
	func(): Kernel<void>;
}

/** Pending work, and work that is due at a later jiffy (the part of kernel/workqueue.c that livepatch uses). */
export class Workqueue {
	static readonly state = declareState("Workqueue", { fields: "all" });

	readonly pending: work_struct[] = [];
	readonly delayed: { readonly work: work_struct; readonly at: number }[] = [];

	schedule_work(work: work_struct): void {
		if (!this.pending.includes(work)) this.pending.push(work);
	}

	/** Does nothing if the work is queued already, as in the kernel. */
	schedule_delayed_work(work: work_struct, at: number): void {
		if (this.pending.includes(work) || this.delayed.some((entry) => entry.work === work)) return;
		this.delayed.push({ work, at });
	}

	/** True if {@link take} would return a work. */
	isDue(now: number): boolean {
		return this.pending.length > 0 || this.next() <= now;
	}

	/** Moves work that is due at `now` to the pending work, and takes the first one. */
	take(now: number): work_struct | undefined {
		for (let i = 0; i < this.delayed.length; ) {
			const entry = this.delayed[i]!;
			if (entry.at > now) i++;
			else {
				this.delayed.splice(i, 1);
				this.pending.push(entry.work);
			}
		}
		return this.pending.shift();
	}

	/** The next jiffy at which work is due; Infinity if there is none. */
	next(): number {
		return this.delayed.reduce((first, entry) => Math.min(first, entry.at), Number.POSITIVE_INFINITY);
	}
}
