import type { SearchOptions } from "../../explore/index.js";
import { END_SIGNALS } from "../process-end.js";
import type { Io } from "./command.js";
import { DEFAULT_MEMORY, memoryEnd } from "./memory-limit.js";

export interface Limits {
	/** In seconds. */
	readonly time: bigint | undefined;
	/** In MiB. */
	readonly memory: bigint | undefined;
	/** In states. */
	readonly budget: number;
	/** Called from time to time. */
	pause(): Promise<void> | undefined;
}

/** Limits of time and memory, signals and the progress line. */
export class Control {
	readonly #io: Io;
	readonly #limits: Limits;
	readonly #limit: number;
	readonly #memory: number;
	readonly #onSignal = () => {
		this.stopped = true;
	};
	/** Seconds and states of the last line. */
	#shown = { seconds: 0, states: 0 };
	stopped = false;
	/** Why the search had to end, unless for lack of states or time. */
	why: { readonly reason?: string } = {};

	constructor(io: Io, limits: Limits) {
		this.#io = io;
		this.#limits = limits;
		this.#limit = limits.time === undefined ? Number.POSITIVE_INFINITY : Number(limits.time) * 1000;
		this.#memory = Number(limits.memory ?? DEFAULT_MEMORY);
		for (const signal of END_SIGNALS) process.once(signal, this.#onSignal);
	}

	start(design: string) {
		const begin = performance.now();
		const elapsed = () => performance.now() - begin;
		this.#shown = { seconds: 0, states: 0 };
		const options: Pick<SearchOptions, "interrupted" | "pause" | "onProgress"> = {
			interrupted: () => this.stopped || elapsed() > this.#limit || this.#isFull(),
			pause: async () => {
				await new Promise<void>((resolve) => setImmediate(resolve));
				await this.#limits.pause();
			},
			onProgress: (states, at) => this.#progress(design, states, at, elapsed() / 1000),
		};
		return { options, seconds: () => Math.round(elapsed()) / 1000 };
	}

	#isFull(): boolean {
		const reason = memoryEnd(this.#memory);
		this.why = reason === undefined ? {} : { reason };
		return reason !== undefined;
	}

	/** Called once a second; on a terminal the line is overwritten. */
	#progress(design: string, states: number, at: { depth: number; frontier: number }, seconds: number): void {
		if (seconds < this.#shown.seconds + 1) return;
		const rate = (states - this.#shown.states) / (seconds - this.#shown.seconds);
		this.#shown = { seconds, states };
		const mib = process.memoryUsage.rss() / 2 ** 20;
		const text = progressLine({ ...at, design, states, seconds, rate, mib, budget: this.#limits.budget });
		this.#io.stderr.write(this.#io.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
	}

	end(): void {
		for (const signal of END_SIGNALS) process.removeListener(signal, this.#onSignal);
		if (this.#io.stderr.isTTY) this.#io.stderr.write("\r\x1b[K");
	}
}

export interface Progress {
	readonly design: string;
	readonly states: number;
	readonly budget: number;
	readonly seconds: number;
	/** States a second, since the last line. */
	readonly rate: number;
	/** Moves from the first state. */
	readonly depth: number;
	/** States that are known and not expanded yet. */
	readonly frontier: number;
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
