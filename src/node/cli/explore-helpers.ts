import { Worker } from "node:worker_threads";
import type { HelperAnswer, HelperPort, HelperRequest } from "../../explore/index.js";
import type { HelperData, HelperMessage } from "./explore-helper.js";
import { programOf } from "./explore-threads.js";

/** A thread that executes for the search of this one. */
export class HelperThread implements HelperPort {
	readonly #worker: Worker;
	#resolve: ((answer: HelperAnswer | undefined) => void) | undefined = undefined;
	#hasEnded = false;
	isReady = false;

	/** `onEnd`: called with the reason if it ends by itself. */
	constructor(data: HelperData, onEnd: (why: string) => void) {
		this.#worker = new Worker(...programOf(data));
		this.#worker.on("message", (message: HelperMessage) => {
			if (message === "ready") this.isReady = true;
			else this.#answer(message);
		});
		this.#worker.on("error", (error) => this.#end(() => onEnd(error.message)));
		this.#worker.on("exit", (status) => this.#end(() => onEnd(`exit status ${status}`)));
		// A search that has ended does not wait for it.
		this.#worker.unref();
	}

	/** One request after the other. */
	ask(request: HelperRequest): Promise<HelperAnswer | undefined> {
		if (this.#hasEnded) return Promise.resolve(undefined);
		return new Promise((resolve) => {
			this.#resolve = resolve;
			this.#worker.ref();
			this.#worker.postMessage(request);
		});
	}

	async end(): Promise<void> {
		this.#end(() => undefined);
		await this.#worker.terminate();
	}

	#answer(answer: HelperAnswer | undefined): void {
		this.#worker.unref();
		this.#resolve?.(answer);
		this.#resolve = undefined;
	}

	#end(tell: () => void): void {
		if (this.#hasEnded) return;
		this.#hasEnded = true;
		tell();
		this.#answer(undefined);
	}
}
