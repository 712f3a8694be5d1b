import type { JobResult } from "./job.js";
import { blobsFor } from "./job.js";
import { JobProcess } from "./job-process.js";
import type { Plan, PlannedJob } from "./plan.js";

/** A job whose process died is tried so many times. */
export const TRIES = 3;

/** What happens in a campaign, for the progress line. */
export interface CampaignEvents {
	/** A search has so many states now. */
	onProgress?(job: PlannedJob, states: number): void;
	onResult?(job: PlannedJob, result: JobResult): void;
	/** Something that is worth a line: a process died, the queue is gone. */
	onNotice?(text: string): void;
}

/** Makes all jobs of a plan on this machine, `processes` at a time, each by `command`, that of `klpemu worker`. */
export async function runLocally(
	plan: Plan,
	command: readonly string[],
	processes: number,
	events: CampaignEvents,
	signal: AbortSignal,
): Promise<void> {
	const waiting = plan.cells.flatMap(({ jobs }) => jobs);
	let running = 0;
	await new Promise<void>((resolve, reject) => {
		const workers = Array.from({ length: processes }, () => new JobProcess(command));
		const idle = [...workers];
		const close = () => {
			for (const worker of workers) worker.close();
		};
		signal.addEventListener("abort", close);
		const next = (): void => {
			while (idle.length > 0 && waiting.length > 0 && !signal.aborted) {
				const worker = idle.pop()!;
				const job = waiting.shift()!;
				running++;
				make(worker, job).then(
					(result) => {
						// What was ended by the user has no result.
						if (!signal.aborted) take(job, result);
						running--;
						idle.push(worker);
						next();
					},
					(error) => {
						close();
						reject(error);
					},
				);
			}
			if (running > 0) return;
			close();
			resolve();
		};
		const take = (job: PlannedJob, result: JobResult) => {
			waiting.push(...plan.take(job, result));
			events.onResult?.(job, result);
		};
		const make = async (worker: JobProcess, planned: PlannedJob): Promise<JobResult> => {
			for (let tries = 1; ; tries++) {
				const progress = (states: number) => events.onProgress?.(planned, states);
				const tried = await worker.run(planned.job, blobsFor(planned.job, plan.blobs), progress);
				if ("result" in tried) return tried.result;
				const { scenario, variant } = planned.job;
				if (signal.aborted || tries === TRIES) return { lost: tried.failed };
				events.onNotice?.(`${scenario}, ${variant}: ${tried.failed}; tried again`);
			}
		};
		next();
	});
}
