import { KlpemuError } from "../../base/index.js";
import { INVARIANTS } from "../../consistency/index.js";
import { parseKernelCore } from "../../linux/klp-c/index.js";
import { exploreScenario, unpackScenario } from "../../scenario/index.js";
import { refusedRow, rowsOf } from "../explore-rows.js";
import { nodeHost } from "../host.js";
import { type Blobs, blobOf, type Job, type JobResult, packOf } from "./job.js";

export interface JobControl {
	/** True stops the search; the result is then `bounded`. */
	interrupted(): boolean;
	onProgress(states: number): void;
}

/** Makes the search of a job in this process. A wrong job is a result, too: the campaign goes on. */
export async function runJob(job: Job, blobs: Blobs, control: JobControl): Promise<JobResult> {
	const begin = performance.now();
	const elapsed = () => (performance.now() - begin) / 1000;
	try {
		const { scenario, host } = unpackScenario(packOf(job, blobs), nodeHost(job.scenario));
		const core = job.core === undefined ? undefined : parseKernelCore(blobOf(job.core, blobs), job.variant);
		const found = await exploreScenario({
			scenario,
			machine: { host, core, design: core === undefined ? (job.design ?? scenario.design) : undefined },
			budget: job.states,
			invariants: new Set(INVARIANTS),
			all: false,
			reduction: true,
			order: job.order === undefined ? undefined : BigInt(job.order),
			interrupted: () => control.interrupted() || elapsed() > job.seconds,
			pause: () => new Promise<void>((resolve) => setImmediate(resolve)),
			onProgress: control.onProgress,
		});
		return { rows: rowsOf({ ...found, design: job.variant }, Math.round(elapsed() * 1000) / 1000) };
	} catch (error) {
		if (!(error instanceof KlpemuError)) throw error;
		if (error.code === "SCENARIO_FOREIGN_KEY") return { rows: [refusedRow(job.variant, error.message)] };
		return { error: { code: error.code, message: error.message } };
	}
}
