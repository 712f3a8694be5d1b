/**
 * Those who watch the kernel without being part of it. Each part of the kernel says in an interface of its own what it tells
 * (for example KlpObserver); all parts share one list.
 */
export class Observers<Observer extends object> {
	private list: readonly Observer[] = [];

	/** Adds an observer, after all others; the function that comes back takes it off again. */
	observe(observer: Observer): () => void {
		// A new array each time: an observer may subscribe or unsubscribe while it is told something.
		this.list = [...this.list, observer];
		return () => {
			this.list = this.list.filter((other) => other !== observer);
		};
	}

	[Symbol.iterator](): IterableIterator<Observer> {
		return this.list[Symbol.iterator]();
	}
}
