import type { StepKind, Visit } from "./kernel-code.js";

/** The events of kernel code that observers are told. */
export interface PointObserver {
	/** A step has been made whose effect other tasks or CPUs can see: the label that it yielded. */
	point?(label: string, kind: StepKind): void;
}

/**
 * Observers watch the kernel without being part of it. Each part of the kernel says in an interface of its own what it
 * tells
 * (for example KlpObserver); all parts share one list.
 */
export class Observers<Observer extends object> {
	readonly #all = new Set<Observer>();

	/** Adds an observer, after all others; the function that comes back takes it off again. */
	observe(observer: Observer): () => void {
		this.#all.add(observer);
		return () => void this.#all.delete(observer);
	}

	[Symbol.iterator](): IterableIterator<Observer> {
		return this.#all.values();
	}
}

/** Tells observers of each step of kernel code. */
export function visitor(observers: Iterable<PointObserver>): Visit {
	return (label, kind) => {
		for (const observer of observers) observer.point?.(label, kind);
	};
}
