import type { SearchProgress } from "../../explore/index.js";
import { END_SIGNALS } from "../process-end.js";
import type { Io } from "./command.js";
import { StatusLine } from "./status-line.js";

/** A flag that all threads of the process see. */
export class SharedFlag {
	/** To make the same flag in another thread. */
	readonly words: Int32Array<SharedArrayBuffer>;

	constructor(words = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))) {
		this.words = words;
	}

	set(): void {
		Atomics.store(this.words, 0, 1);
	}

	get isSet(): boolean {
		return Atomics.load(this.words, 0) !== 0;
	}
}

/** How far the search of a design is. */
export interface DesignProgress extends SearchProgress {
	readonly states: number;
	/** Since the search began. */
	readonly seconds: number;
}

/** Signals, and the progress line. */
export class Control {
	readonly #line: StatusLine;
	readonly #budget: number;
	readonly #onSignal = () => this.stop.set();
	/** Seconds and states of the last line of each design. */
	readonly #shown = new Map<string, { readonly seconds: number; readonly states: number }>();
	/** Set when all searches are to end. */
	readonly stop = new SharedFlag();

	/** `budget`: in states, of each search. */
	constructor(io: Io, budget: number) {
		this.#line = new StatusLine(io.stderr);
		this.#budget = budget;
		for (const signal of END_SIGNALS) process.once(signal, this.#onSignal);
	}

	/** Called often: a line once a second for each design; on a terminal the line is overwritten. */
	onProgress(design: string, at: DesignProgress): void {
		const shown = this.#shown.get(design) ?? { seconds: 0, states: 0 };
		const seconds = at.seconds - shown.seconds;
		if (seconds < 1) return;
		this.#shown.set(design, at);
		const rate = (at.states - shown.states) / seconds;
		const mib = process.memoryUsage.rss() / 2 ** 20;
		this.#line.show(progressLine({ ...at, design, rate, mib, budget: this.#budget }));
	}

	end(): void {
		for (const signal of END_SIGNALS) process.removeListener(signal, this.#onSignal);
		this.#line.clear();
	}
}

export interface Progress extends DesignProgress {
	readonly design: string;
	readonly budget: number;
	/** States a second, since the last line. */
	readonly rate: number;
	/** Memory of the process. */
	readonly mib: number;
}

/** It fits into 80 columns for millions of states. */
export function progressLine(now: Progress): string {
	const share = Math.floor((100 * now.states) / now.budget);
	const rate = `${Math.max(Math.round(now.rate), 0)}/s`;
	const parts = [`${now.states} states (${share} %)`, rate, `depth ${now.depth}`, `frontier ${now.frontier}`];
	return `${now.design}: ${[...parts, `${now.mib.toFixed(0)} MiB`, `${now.seconds.toFixed(0)} s`].join(", ")}`;
}
