import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { whenProcessEnds } from "../process-end.js";
import { type Blobs, type Job, type JobResult, parseResult } from "./job.js";
import { type AnswerLine, jobLine } from "./job-lines.js";

/** Seconds that a search has to end by itself after its time; it must come to a point where it looks at the time. */
const GRACE = 60;

/** Result of one try: the job's, or the reason why there is none. */
export type Tried = { readonly result: JobResult } | { readonly failed: string };

/**
 * A process of its own for searches, one at a time: a search that takes too long is ended from outside, and if it crashes, only it is
 * lost. The process is started when it is needed, and again after it has ended.
 */
export class JobProcess {
	readonly #command: readonly string[];
	readonly #grace: number;
	#child: ChildProcess | undefined;
	#letGo: () => Promise<void> = async () => undefined;
	#answered: (answer: AnswerLine) => void = () => undefined;
	#ended: (why: string) => void = () => undefined;
	#tries = 0;

	/** `command`: that of `klpemu worker`. `grace`: seconds that a search may take longer than its job says. */
	constructor(command: readonly string[], grace = GRACE) {
		this.#command = command;
		this.#grace = grace;
	}

	/** The process's number, while there is one. */
	get pid(): number | undefined {
		return this.#child?.pid;
	}

	/** Makes the search of a job. One at a time. */
	async run(job: Job, blobs: Blobs, onProgress: (states: number) => void = () => undefined): Promise<Tried> {
		const child = this.#child ?? this.#start();
		const id = String(++this.#tries);
		let timer: NodeJS.Timeout | undefined;
		try {
			return await new Promise<Tried>((resolve) => {
				this.#ended = (why) => resolve({ failed: why });
				this.#answered = (answer) => {
					if (answer.id !== id) return;
					if ("states" in answer) onProgress(answer.states);
					else resolve({ result: parseResult(answer.result) });
				};
				timer = setTimeout(
					() => {
						resolve({ failed: `no answer after ${job.seconds + this.#grace} s` });
						this.close();
					},
					1000 * (job.seconds + this.#grace),
				);
				child.stdin!.write(jobLine(id, job, blobs));
			});
		} finally {
			clearTimeout(timer);
		}
	}

	/** Ends the process, whatever it does. */
	close(): void {
		const child = this.#child;
		this.#child = undefined;
		void this.#letGo();
		child?.kill("SIGKILL");
		this.#ended("the process was ended");
	}

	#start(): ChildProcess {
		const [program, ...args] = this.#command;
		const child = spawn(program!, args, { stdio: ["pipe", "pipe", "pipe"] });
		this.#child = child;
		this.#letGo = whenProcessEnds(() => child.kill("SIGKILL"));
		let errors = "";
		child.stderr!.on("data", (text) => {
			errors = (errors + text).slice(-2000);
		});
		// A process that has ended takes no more input; its end is told below.
		child.stdin!.on("error", () => undefined);
		createInterface({ input: child.stdout! }).on("line", (line) => this.#answered(JSON.parse(line) as AnswerLine));
		const end = (why: string) => {
			if (this.#child !== child) return;
			this.#child = undefined;
			void this.#letGo();
			this.#ended(why);
		};
		child.once("error", ({ message }) => end(`it cannot be started: ${message}`));
		child.once("close", (status, signal) => {
			const how = signal === null ? `with status ${status}` : `by ${signal}`;
			const [said] = errors.trim().split("\n").slice(-1);
			end(`its process ended ${how}${said ? `: ${said}` : ""}`);
		});
		return child;
	}
}
