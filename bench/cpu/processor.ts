import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Rows } from "./native.js";

interface Answer {
	readonly rows: Rows;
	/** Guest instructions of one unit of each row. */
	readonly instructions: ReadonlyMap<string, number>;
}

/** A machine in a process of its own: V8 makes faster code if a process has only one machine. */
class Child {
	readonly #process: ChildProcess;
	/** Rejects when the process ends. */
	readonly #ended: Promise<never>;

	private constructor(args: readonly string[]) {
		this.#process = fork(fileURLToPath(new URL("child.ts", import.meta.url)), args, { serialization: "advanced" });
		this.#ended = once(this.#process, "exit").then(([code]) => {
			throw new Error(`the process of ${args.join(" ")} has ended (${code})`);
		});
		this.#ended.catch(() => {});
	}

	static async start(...args: readonly string[]): Promise<Child> {
		const child = new Child(args);
		await child.#answer();
		return child;
	}

	async rows(milliseconds: number): Promise<Answer> {
		this.#process.send(milliseconds);
		return (await this.#answer()) as Answer;
	}

	async #answer(): Promise<unknown> {
		const [message] = (await Promise.race([once(this.#process, "message"), this.#ended])) as [unknown];
		return message;
	}

	close(): void {
		this.#process.kill();
	}
}

/** An emulated Cpu: a machine that is livepatched, and one that is not. */
export class Processor {
	readonly cpu: string;
	readonly #children: readonly Child[];
	/** Guest instructions of one unit of each row, known after the first {@link rows}. */
	readonly instructions = new Map<string, number>();

	private constructor(cpu: string, children: readonly Child[]) {
		this.cpu = cpu;
		this.#children = children;
	}

	static async start(cpu: string): Promise<Processor> {
		return new Processor(cpu, [await Child.start(cpu), await Child.start(cpu, "patched")]);
	}

	/** Runs all rows, each for about the given number of milliseconds. */
	async rows(milliseconds: number): Promise<Rows> {
		const all = new Map<string, { ns: number; result: bigint }>();
		for (const child of this.#children) {
			const { rows, instructions } = await child.rows(milliseconds);
			for (const [row, value] of rows) all.set(row, value);
			for (const [row, value] of instructions) this.instructions.set(row, value);
		}
		return all;
	}

	close(): void {
		for (const child of this.#children) child.close();
	}
}
