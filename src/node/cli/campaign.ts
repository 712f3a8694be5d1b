import { printable, printableJson } from "../../base/index.js";
import {
	type CampaignEvents,
	campaignHtml,
	campaignStatus,
	campaignText,
	type Plan,
	planCampaign,
	readCampaign,
	reportOf,
	runLocally,
	runOnQueue,
} from "../campaign/index.js";
import { checkWritable, writeWhole } from "../files.js";
import { END_SIGNALS } from "../process-end.js";
import type { Command, Io } from "./command.js";
import { parallelOf } from "./parallel.js";
import { StatusLine } from "./status-line.js";
import { version } from "./version.js";
import { MAX_JOBS, workerProcess } from "./worker-process.js";

export interface CampaignOptions {
	readonly redis: string | undefined;
	readonly jobs: bigint | undefined;
	readonly html: string | undefined;
	readonly json: boolean;
}

export const campaignCommand: Command<CampaignOptions> = {
	positionals: [{ name: "FILE", help: "a campaign, YAML (docs/campaigns.md)" }],
	options: {
		redis: { type: "text", value: "URL", help: "give the searches to the workers of this Redis" },
		jobs: { type: "uint64", value: "N", help: "searches at a time on this machine (default: its cores)" },
		html: { type: "text", value: "FILE", help: "write the report as a page" },
		json: { type: "flag", help: "print one JSON document" },
	},
	details: [
		"Explores scenarios under designs, kernels and mutants of kernels; what is too big to finish is",
		"searched again in other orders. With --redis, the same command goes on where it was interrupted.",
		"Exit status: 0 as the scenarios say, 1 not so, or a search has no result, 2 bad input, 3 bounded.",
		"Ctrl-C, SIGTERM and SIGHUP end it, and print what is known so far.",
		"",
		"Examples:",
		"  klpemu campaign scenarios/campaigns/family.yaml",
		"  klpemu worker --redis redis://127.0.0.1:6379 &",
		"  klpemu campaign scenarios/campaigns/family.yaml --redis redis://127.0.0.1:6379",
	],
	async run({ redis, jobs, html, json }, [file], io) {
		const processes = parallelOf(jobs, "--jobs", MAX_JOBS, "klpemu campaign");
		const campaign = await readCampaign(file!);
		if (html !== undefined) await checkWritable(html);
		const plan = await planCampaign(campaign, await version());
		for (const notice of plan.notices) io.stderr.write(`${printable(notice)}\n`);
		const stop = new AbortController();
		// Stays until the end: the job processes have listeners that end this process if there is no other.
		const onSignal = () => stop.abort();
		for (const signal of END_SIGNALS) process.on(signal, onSignal);
		const progress = new Progress(plan, io);
		try {
			if (redis === undefined) await runLocally(plan, workerProcess(), processes, progress, stop.signal);
			else await runOnQueue(plan, redis, progress, stop.signal);
		} finally {
			for (const signal of END_SIGNALS) process.off(signal, onSignal);
			progress.end();
		}
		const report = reportOf(plan);
		// First the file: standard output may be a full disk, too.
		try {
			if (html !== undefined) await writeWhole(html, campaignHtml(report));
		} finally {
			io.stdout.write(json ? `${printableJson(report)}\n` : printable(campaignText(report)));
		}
		return campaignStatus(report);
	},
};

/** The progress line: once a second on a terminal, else every ten seconds. */
class Progress implements CampaignEvents {
	readonly #plan: Plan;
	readonly #stderr: Io["stderr"];
	readonly #line: StatusLine;
	readonly #begin = performance.now();
	readonly #timer: NodeJS.Timeout;
	/** States of the searches that have no result yet. */
	readonly #states = new Map<unknown, number>();

	constructor(plan: Plan, io: Io) {
		this.#plan = plan;
		this.#stderr = io.stderr;
		this.#line = new StatusLine(io.stderr);
		this.#timer = setInterval(() => this.#show(), io.stderr.isTTY ? 1000 : 10_000);
	}

	onProgress(job: unknown, states: number): void {
		this.#states.set(job, states);
	}

	onResult(job: unknown): void {
		this.#states.delete(job);
	}

	onNotice(text: string): void {
		this.#line.clear();
		this.#stderr.write(`${printable(text)}\n`);
	}

	end(): void {
		clearInterval(this.#timer);
		this.#line.clear();
	}

	#show(): void {
		const { rows } = reportOf(this.#plan);
		const sum = (of: (row: (typeof rows)[number]) => number) => rows.reduce((all, row) => all + of(row), 0);
		const states = sum((row) => row.states) + [...this.#states.values()].reduce((all, one) => all + one, 0);
		const violated = rows.filter(({ verdict }) => verdict === "violated").length;
		const seconds = Math.round((performance.now() - this.#begin) / 1000);
		const searches = `${sum((row) => row.searches.done)} of ${sum((row) => row.searches.all)} searches`;
		this.#line.show(`${searches}, ${states} states, ${violated} violated, ${seconds} s`);
	}
}
