import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import * as v from "valibot";
import { KlpemuError } from "../../base/index.js";
import { type Blobs, type Job, type JobResult, parseJob } from "./job.js";
import { runJob } from "./run-job.js";

/** A line to `klpemu worker`: a job, and the content that it names, in base64. */
export interface JobLine {
	readonly id: string;
	readonly job: Job;
	readonly blobs: Readonly<Record<string, string>>;
}

/** A line from it: the number of states so far, or the result. */
export type AnswerLine =
	| { readonly id: string; readonly states: number }
	| { readonly id: string; readonly result: JobResult };

const lineSchema = v.object({ id: v.string(), job: v.unknown(), blobs: v.record(v.string(), v.string()) });

export function jobLine(id: string, job: Job, blobs: Blobs): string {
	const encoded = [...blobs].map(([hash, bytes]) => [hash, Buffer.from(bytes).toString("base64")]);
	const line: JobLine = { id, job, blobs: Object.fromEntries(encoded) };
	return `${JSON.stringify(line)}\n`;
}

/**
 * `klpemu worker` without a queue: one job a line, as JSON; one answer a line. A line that is no job is answered by an error. Resolves at
 * the end of the input; a search that runs then is given up, because nothing reads its result.
 */
export async function answerJobs(input: Readable, write: (line: string) => void): Promise<void> {
	let ended = false;
	input.once("end", () => {
		ended = true;
	});
	const answer = (line: AnswerLine) => write(`${JSON.stringify(line)}\n`);
	for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
		if (line.trim() === "") continue;
		const read = readLine(line);
		if ("error" in read) {
			answer({ id: read.id, result: { error: read.error } });
			continue;
		}
		const { id, job, blobs } = read;
		const control = {
			interrupted: () => ended,
			onProgress: (states: number) => answer({ id, states }),
		};
		const result = await runJob(job, blobs, control);
		if (!ended) answer({ id, result });
	}
}

type ReadLine =
	| { readonly id: string; readonly job: Job; readonly blobs: Blobs }
	| { readonly id: string; readonly error: { readonly code: string; readonly message: string } };

function readLine(line: string): ReadLine {
	let id = "";
	try {
		const { output, success } = v.safeParse(lineSchema, JSON.parse(line));
		if (!success) throw new KlpemuError("JOB_FORMAT", "not a line of { id, job, blobs }");
		id = output.id;
		const blobs = Object.entries(output.blobs).map(([hash, text]) => [hash, Buffer.from(text, "base64")] as const);
		return { id, job: parseJob(output.job), blobs: new Map(blobs) };
	} catch (error) {
		if (error instanceof KlpemuError) return { id, error: { code: error.code, message: error.message } };
		return { id, error: { code: "JOB_FORMAT", message: "not JSON" } };
	}
}
