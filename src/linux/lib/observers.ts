/** What those who watch the kernel are told of kernel code. */
export interface PointObserver {
	/** A step has been made whose effect other tasks or CPUs can see: the label that it yielded. */
	point?(label: string): void;
}

/**
 * Those who watch the kernel without being part of it. Each part of the kernel says in an interface of its own what it tells
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
