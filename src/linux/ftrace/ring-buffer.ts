import { declareState } from "../../base/index.js";

/** Entries that a ring buffer holds; older ones are overwritten. */
export const TRACE_ENTRIES_MAX = 65_536;

/** The ring buffer of a tracer (kernel/trace/ring_buffer.c). */
export class RingBuffer<T> {
	/** The kernel only shows the trace: its behaviour depends on it only in so far as it is on. */
	static readonly state = declareState("RingBuffer", { fields: ["on"], unkeyed: ["written"], logs: ["buffer"] });

	/** Off: entries are not recorded. */
	on = true;
	/** Oldest first. It may also hold entries that count as overwritten and are not removed yet. */
	private buffer: T[] = [];
	/** Number of entries since the buffer was last cleared. */
	written = 0;

	/** False: the buffer is off. */
	write(entry: T): boolean {
		if (!this.on) return false;
		this.buffer.push(entry);
		this.written++;
		if (this.buffer.length === 2 * TRACE_ENTRIES_MAX) this.buffer = this.entries;
		return true;
	}

	/** Oldest first. */
	get entries(): T[] {
		return this.buffer.slice(-TRACE_ENTRIES_MAX);
	}

	clear(): void {
		this.buffer = [];
		this.written = 0;
	}
}
