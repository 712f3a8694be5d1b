import { Worker } from "node:worker_threads";
import type { HelperAnswer, HelperPort, HelperRequest } from "../../explore/index.js";
import type { HelperData, HelperMessage } from "./explore-helper.js";
import { programOf } from "./explore-threads.js";

/** A thread that executes for the search of this one. */
export class HelperThread implements HelperPort {
	readonly #data: HelperData;
	readonly #onEnd: (why: string) => void;
	#worker: Worker | undefined = undefined;
	#hasEnded = false;
	isReady = false;
	onAnswer: HelperPort["onAnswer"] = () => undefined;

	/** `onEnd`: called with the reason if it ends by itself. */
	constructor(data: HelperData, onEnd: (why: string) => void) {
		this.#data = data;
		this.#onEnd = onEnd;
	}

	start(): void {
		if (this.#worker !== undefined || this.#hasEnded) return;
		const worker = new Worker(...programOf(this.#data));
		this.#worker = worker;
		worker.on("message", (message: HelperMessage) => {
			if (message === "ready") this.isReady = true;
			else this.#answer(message);
		});
		worker.on("error", (error) => this.#end(() => this.#onEnd(error.message)));
		worker.on("exit", (status) => this.#end(() => this.#onEnd(`exit status ${status}`)));
		// A search that has ended does not wait for it.
		worker.unref();
	}

	/** One request after the other. */
	ask(request: HelperRequest): void {
		if (this.#hasEnded) {
			this.onAnswer(undefined);
			return;
		}
		this.#worker!.ref();
		this.#worker!.postMessage(request);
	}

	async end(): Promise<void> {
		this.#end(() => undefined);
		await this.#worker?.terminate();
	}

	#answer(answer: HelperAnswer | undefined): void {
		if (answer === undefined || answer.isLast) this.#worker?.unref();
		this.onAnswer(answer);
	}

	#end(tell: () => void): void {
		if (this.#hasEnded) return;
		this.#hasEnded = true;
		tell();
		this.#answer(undefined);
	}
}
