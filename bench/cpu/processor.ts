import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Rows } from "./native.js";

/** An emulated Cpu in a process of its own: what V8 learns of the handler from one machine must not slow down another's. */
export class Processor {
	readonly cpu: string;
	readonly #child: ChildProcess;
	/** Rejects when the process ends. */
	readonly #ended: Promise<never>;
	/** Guest instructions of one unit of each row, known after the first {@link rows}. */
	instructions: ReadonlyMap<string, number> = new Map();

	private constructor(cpu: string, child: ChildProcess) {
		this.cpu = cpu;
		this.#child = child;
		this.#ended = once(child, "exit").then(([code]) => {
			throw new Error(`the process of ${cpu} has ended (${code})`);
		});
		this.#ended.catch(() => {});
	}

	static async start(cpu: string): Promise<Processor> {
		const child = fork(fileURLToPath(new URL("child.ts", import.meta.url)), [cpu], { serialization: "advanced" });
		const processor = new Processor(cpu, child);
		await processor.#answer();
		return processor;
	}

	/** Runs all rows, each for about so many milliseconds. */
	async rows(milliseconds: number): Promise<Rows> {
		this.#child.send(milliseconds);
		const { rows, instructions } = (await this.#answer()) as { rows: Rows; instructions: ReadonlyMap<string, number> };
		this.instructions = instructions;
		return rows;
	}

	async #answer(): Promise<unknown> {
		const [message] = (await Promise.race([once(this.#child, "message"), this.#ended])) as [unknown];
		return message;
	}

	close(): void {
		this.#child.kill();
	}
}
