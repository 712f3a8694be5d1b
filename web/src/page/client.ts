/** Talks to the worker. */
import type { Problem, RequestKind, Requests, ResponseMessage } from "../shared/protocol.js";

/** A request that the engine refuses, in its own words. */
export class EngineError extends Error {
	readonly problem: Problem;

	constructor(problem: Problem) {
		super(problem.message);
		this.problem = problem;
	}
}

interface Waiting {
	resolve(answer: unknown): void;
	reject(error: Error): void;
	progress(states: number): void;
}

/** One worker, with an engine of its own. */
export class Client {
	readonly #worker: Worker;
	readonly #waiting = new Map<number, Waiting>();
	#lastId = 0;

	constructor() {
		this.#worker = new Worker(new URL("../worker/main.ts", import.meta.url), { type: "module" });
		this.#worker.addEventListener("message", ({ data }: MessageEvent<ResponseMessage>) => this.#answered(data));
		this.#worker.addEventListener("error", ({ message }) => {
			const error = new Error(`the worker does not run: ${message || "it could not be loaded"}`);
			for (const { reject } of this.#waiting.values()) reject(error);
			this.#waiting.clear();
		});
	}

	/** Ends the worker, whatever it does; its requests get no answer. */
	end(): void {
		this.#worker.terminate();
		this.#waiting.clear();
	}

	#answered(data: ResponseMessage): void {
		const waiting = this.#waiting.get(data.id);
		if (waiting === undefined) return;
		if ("states" in data) {
			waiting.progress(data.states);
			return;
		}
		this.#waiting.delete(data.id);
		if ("problem" in data) waiting.reject(new EngineError(data.problem));
		else waiting.resolve(data.answer);
	}

	/** Throws {@link EngineError}. `progress` gets the number of states that an exploration has seen. */
	ask<K extends RequestKind>(
		kind: K,
		given: Requests[K]["arguments"],
		progress: (states: number) => void = () => {},
	): Promise<Requests[K]["answer"]> {
		const id = ++this.#lastId;
		return new Promise((resolve, reject) => {
			this.#waiting.set(id, { resolve: (answer) => resolve(answer as Requests[K]["answer"]), reject, progress });
			this.#worker.postMessage({ id, kind, arguments: given });
		});
	}
}
