import { KlpemuError } from "../../base/index.js";
import { packScenario, parseScenario } from "../../scenario/index.js";
import { readIfThere, readText } from "../files.js";
import { nodeHost } from "../host.js";
import type { Campaign, CampaignKernel } from "./file.js";
import { type Job, type JobResult, jobId, partsOf, putBlob } from "./job.js";

/** A search of a campaign. */
export interface PlannedJob {
	readonly id: string;
	readonly job: Job;
	/** Its cell of the report: `SCENARIO VARIANT`. */
	readonly cell: Cell;
}

/** One scenario under one design or kernel: the first search, and those of the swarm. */
export interface Cell {
	readonly scenario: string;
	readonly variant: string;
	readonly mutant: boolean;
	readonly jobs: PlannedJob[];
	/** By the number of the job. */
	readonly results: (JobResult | undefined)[];
}

export interface Plan {
	readonly campaign: Campaign;
	readonly cells: readonly Cell[];
	/** Content of all jobs, by its hash. */
	readonly blobs: ReadonlyMap<string, Uint8Array>;
	/** Notes about the kernels that were built. */
	readonly notices: readonly string[];
	/**
	 * Takes a result, the first one for each job; returns the jobs that follow from it: the swarm of a search that was not complete. A
	 * result that comes a second time changes nothing.
	 */
	take(planned: PlannedJob, result: JobResult): readonly PlannedJob[];
}

/**
 * Reads and compiles everything that a campaign needs, and makes its first jobs, one for each cell. Throws the errors of reading
 * scenarios (`SCENARIO_*`, `GCC_*`) and of building kernels. `release`: the version of klpemu.
 */
export async function planCampaign(campaign: Campaign, release: string): Promise<Plan> {
	const blobs = new Map<string, Uint8Array>();
	const notices: string[] = [];
	const kernels: { kernel: CampaignKernel; core: string }[] = [];
	for (const kernel of campaign.kernels) {
		kernels.push({ kernel, core: putBlob(await coreOf(kernel, notices), blobs) });
	}
	const planned = (cell: Cell, job: Job): PlannedJob => {
		const one = { id: jobId(job, release), job, cell };
		cell.jobs.push(one);
		cell.results.push(undefined);
		return one;
	};
	const cells: Cell[] = [];
	for (const { name, path } of campaign.scenarios) {
		const text = await readText(path);
		const pack = await packScenario(text, parseScenario(text, path), nodeHost(path));
		const shared = { schema: 1 as const, scenario: name, ...partsOf(pack, blobs) };
		const limits = { states: campaign.states, seconds: campaign.seconds };
		const add = (variant: string, mutant: boolean, what: Pick<Job, "design" | "core">) => {
			const cell: Cell = { scenario: name, variant, mutant, jobs: [], results: [] };
			planned(cell, { ...shared, variant, ...what, ...limits });
			cells.push(cell);
		};
		for (const design of campaign.designs) add(design, false, { design });
		for (const { kernel, core } of kernels) add(kernel.name, kernel.mutant, { core });
		if (campaign.designs.length + kernels.length > 0) continue;
		const { design } = parseScenario(text, path);
		add(design, false, { design });
	}
	return {
		campaign,
		cells,
		blobs,
		notices,
		take(one, result) {
			const { cell } = one;
			const index = cell.jobs.indexOf(one);
			if (cell.results[index] !== undefined) return [];
			cell.results[index] = result;
			const { swarm } = campaign;
			if (index > 0 || swarm === undefined || !isBounded(result)) return [];
			const orders = Array.from({ length: swarm.searches }, (_, i) => i + 1);
			return orders.map((order) => planned(cell, { ...one.job, states: swarm.states, order }));
		},
	};
}

function isBounded(result: JobResult): boolean {
	return "rows" in result && result.rows.some((row) => row.result === "bounded");
}

async function coreOf(kernel: CampaignKernel, notices: string[]): Promise<Uint8Array> {
	const { core, source, headers, patches, name } = kernel;
	if (core !== undefined) {
		const bytes = await readIfThere(core);
		if (bytes !== undefined) return bytes;
		throw new KlpemuError("FILE_MISSING", `there is no file '${core}'`, {
			hint: "klpemu kernel build makes a kernel core",
		});
	}
	// Few campaigns build kernels.
	const { buildKernelCore } = await import("../kernel/index.js");
	const built = await buildKernelCore({ source, headers, patches });
	notices.push(...built.notices.map((notice) => `${name}: ${notice}`));
	return built.bytes;
}
