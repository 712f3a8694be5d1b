import { Worker } from "node:worker_threads";
import { KlpemuError } from "../../base/index.js";
import { THREAD } from "./command.js";
import type { Control } from "./explore-control.js";
import type { ExploredDesign } from "./explore-design.js";
import type { HelperData } from "./explore-helper.js";
import type { ThreadData, ThreadMessage } from "./explore-thread.js";

/** The largest value of --workers. */
export const MAX_WORKERS = 256;
/** Milliseconds that the first search is alone: a table of small searches is made before another thread has started. */
const ALONE = 150;

/** Makes the search of one design, in this thread or in another one. */
type Explore = (design: string) => Promise<ExploredDesign | undefined>;

/**
 * Explores designs, `workers` at a time: one of them in this thread, by `explore`. Those that are near each other in `order` are explored
 * by the same thread, if possible: they have more to share (Common). The results are in the order of the designs, as if
 * each had waited for those before it: designs behind the first error are not in it, and then the error is thrown.
 */
export async function exploreDesigns(
	designs: readonly string[],
	order: readonly string[],
	workers: number,
	explore: Explore,
	control: Control,
	data: Omit<ThreadData, "stop">,
): Promise<ExploredDesign[]> {
	const found: (ExploredDesign | undefined)[] = [];
	const errors: unknown[] = [];
	let left = order.map((design) => designs.indexOf(design));
	const work = async (one: Explore, end: "first" | "last") => {
		while (left.length > 0 && !control.stop.isSet) {
			const index = (end === "first" ? left.shift() : left.pop())!;
			try {
				found[index] = await one(designs[index]!);
			} catch (error) {
				errors[index] = error;
				left = left.filter((other) => other < index);
			}
		}
	};
	const threads: SearchThread[] = [];
	const others: Promise<void>[] = [];
	const timer = setTimeout(() => {
		for (let i = 1; i < workers && i <= left.length; i++) {
			const thread = new SearchThread(control, { ...data, stop: control.stop.words });
			threads.push(thread);
			others.push(work((design) => thread.explore(design), "last"));
		}
	}, ALONE);
	try {
		await work(explore, "first");
		clearTimeout(timer);
		await Promise.all(others);
	} finally {
		clearTimeout(timer);
		for (const thread of threads) await thread.end();
	}
	for (const error of errors) if (error !== undefined) throw error;
	return found.filter((one) => one !== undefined);
}

/** A thread that makes one search after the other. */
class SearchThread {
	readonly #worker: Worker;
	readonly #control: Control;
	#design = "";
	#resolve: (found: ExploredDesign | undefined) => void = () => undefined;
	#reject: (error: unknown) => void = () => undefined;

	constructor(control: Control, data: ThreadData) {
		this.#control = control;
		this.#worker = new Worker(...programOf(data));
		this.#worker.on("message", (message: ThreadMessage) => this.#take(message));
		this.#worker.on("error", (error) => this.#reject(error));
	}

	explore(design: string): Promise<ExploredDesign | undefined> {
		this.#design = design;
		return new Promise((resolve, reject) => {
			this.#resolve = resolve;
			this.#reject = reject;
			this.#worker.postMessage(design);
		});
	}

	async end(): Promise<void> {
		await this.#worker.terminate();
	}

	#take(message: ThreadMessage): void {
		if ("at" in message) this.#control.onProgress(this.#design, message.at);
		else if ("found" in message) this.#resolve(message.found);
		else this.#reject(new KlpemuError(message.error.code, message.error.reason, message.error));
	}
}

/** This program, in a thread: main.ts then serves what `workerData` asks for. */
export function programOf(workerData: ThreadData | HelperData): ConstructorParameters<typeof Worker> {
	if (!import.meta.url.endsWith(".ts")) return [new URL("main.js", import.meta.url), { workerData, argv: [THREAD] }];
	// From sources, as in tests, Node needs a translator. Options of Node do not give one to a thread.
	const program = JSON.stringify(new URL("main.ts", import.meta.url));
	const code = `import("tsx/esm/api").then(({ register }) => register() && import(${program}))`;
	return [code, { eval: true, workerData, argv: [THREAD] }];
}
