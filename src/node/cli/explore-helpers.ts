import { setFlagsFromString } from "node:v8";
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import type { FollowRequest, HelperPort, HelperRequest } from "../../explore/index.js";
import type { HelperData, HelperMessage, HelperThreadRequest } from "./explore-helper.js";
import { programOf } from "./explore-threads.js";

/** A thread that executes for the search of this one. */
export class HelperThread implements HelperPort {
	readonly #data: Omit<HelperData, "port">;
	readonly #onEnd: (why: string) => void;
	#worker: Worker | undefined = undefined;
	#port: MessagePort | undefined = undefined;
	#hasEnded = false;
	isReady = false;
	onAnswer: HelperPort["onAnswer"] = () => undefined;
	/** Who waits for the answer of {@link follow}. */
	#following: ((isMarked: boolean | undefined) => void) | undefined = undefined;

	/** `onEnd`: called with the reason if it ends by itself. */
	constructor(data: Omit<HelperData, "port">, onEnd: (why: string) => void) {
		this.#data = data;
		this.#onEnd = onEnd;
	}

	start(): void {
		if (this.#worker !== undefined || this.#hasEnded) return;
		// Threads of V8's collector would take the cores from threads of the search.
		setFlagsFromString("--no-parallel-scavenge");
		const { port1, port2 } = new MessageChannel();
		const [program, options] = programOf({ ...this.#data, port: port2 });
		const worker = new Worker(program, { ...options, transferList: [port2] });
		this.#worker = worker;
		this.#port = port1;
		port1.on("message", (message: HelperMessage) => this.#take(message));
		worker.on("error", (error) => this.#end(() => this.#onEnd(error.message)));
		worker.on("exit", (status) => this.#end(() => this.#onEnd(`exit status ${status}`)));
	}

	/** One request after the other. */
	ask(request: HelperRequest): void {
		if (this.#hasEnded) {
			this.onAnswer(undefined);
			return;
		}
		this.#post(request);
	}

	follow(request: FollowRequest): Promise<boolean | undefined> {
		if (this.#hasEnded) return Promise.resolve(undefined);
		return new Promise((resolve) => {
			this.#following = resolve;
			this.#post({ follow: request });
		});
	}

	#post(request: HelperThreadRequest): void {
		this.#port!.postMessage(request);
	}

	poll(): void {
		if (this.#port === undefined || this.#hasEnded) return;
		for (let one = receiveMessageOnPort(this.#port); one !== undefined; one = receiveMessageOnPort(this.#port)) {
			this.#take(one.message);
		}
	}

	async end(): Promise<void> {
		this.#end(() => undefined);
		await this.#worker?.terminate();
	}

	#take(message: HelperMessage): void {
		if (message === "ready") this.isReady = !this.#hasEnded;
		else if ("followed" in message) this.#answer(message.followed);
		else this.onAnswer(message);
	}

	#answer(isMarked: boolean | undefined): void {
		this.#following?.(isMarked);
		this.#following = undefined;
	}

	#end(tell: () => void): void {
		if (this.#hasEnded) return;
		this.#hasEnded = true;
		this.isReady = false;
		this.#port?.close();
		tell();
		this.#answer(undefined);
		this.onAnswer(undefined);
	}
}
