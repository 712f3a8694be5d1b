import type { StepKind, Visit } from "./kernel-code.js";

/** Events of kernel code for observers. */
export interface PointObserver {
	/** Kernel code has made a step whose effect other tasks or CPUs can see. `label`: the label that it yielded. */
	point?(label: string, kind: StepKind): void;
}

/**
 * Observers watch the kernel without being part of it. Each part of the kernel declares its events in an interface of
 * its own (for example KlpObserver); all parts share one list of observers.
 */
export class Observers<Observer extends object> {
	readonly #all = new Set<Observer>();

	/** Adds an observer at the end of the list. The returned function removes it. */
	observe(observer: Observer): () => void {
		this.#all.add(observer);
		return () => void this.#all.delete(observer);
	}

	[Symbol.iterator](): IterableIterator<Observer> {
		return this.#all.values();
	}
}

/** Tells observers about each step of kernel code. */
export function visitor(observers: Iterable<PointObserver>): Visit {
	return (label, kind) => {
		for (const observer of observers) observer.point?.(label, kind);
	};
}
