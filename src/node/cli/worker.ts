import type { Readable } from "node:stream";
import { printable } from "../../base/index.js";
import { answerJobs, serveQueue } from "../campaign/index.js";
import { END_SIGNALS } from "../process-end.js";
import { type Command, EXIT } from "./command.js";
import { parallelOf } from "./parallel.js";
import { MAX_JOBS, workerProcess } from "./worker-process.js";

export interface WorkerOptions {
	readonly redis: string | undefined;
	readonly jobs: bigint | undefined;
}

export const workerCommand: Command<WorkerOptions> = {
	positionals: [],
	options: {
		redis: { type: "text", value: "URL", help: "take the searches of the campaigns on this Redis" },
		jobs: { type: "uint64", value: "N", help: "searches at a time (default: the cores of this machine)" },
	},
	details: [
		"Works until it gets Ctrl-C, SIGTERM or SIGHUP; what it has not finished then goes back to the queue.",
		"Without --redis, it reads one search a line from its standard input, as JSON, and answers each",
		"by a line: so klpemu campaign starts it for itself.",
		"",
		"Example:",
		"  klpemu worker --redis redis://127.0.0.1:6379",
	],
	async run({ redis, jobs }, _positionals, io) {
		if (redis === undefined) {
			await answerJobs(io.stdin as Readable, (line) => io.stdout.write(line));
			return EXIT.ok;
		}
		const processes = parallelOf(jobs, "--jobs", MAX_JOBS, "klpemu worker");
		const stopped = new Promise<void>((resolve) => {
			for (const signal of END_SIGNALS) process.on(signal, () => resolve());
		});
		const onNotice = (text: string) => io.stderr.write(`${printable(text)}\n`);
		await serveQueue(redis, workerProcess(), processes, { onNotice }, stopped);
		return EXIT.ok;
	},
};
