/** Campaigns on one machine: the file, the jobs, processes that die or hang, the report. test/node/queue.long.ts has those over Redis. */
import { mkdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import {
	answerJobs,
	blobsFor,
	type CampaignReport,
	type CampaignRow,
	campaignHtml,
	campaignStatus,
	campaignText,
	JobProcess,
	type JobResult,
	jobId,
	jobLine,
	type Plan,
	parseJob,
	parseResult,
	planCampaign,
	readCampaign,
	reportOf,
	runLocally,
} from "../../src/node/campaign/index.js";
import { withTemporaryFolder } from "../../src/node/temporary.js";
import { SMALL } from "../support/small-scenario.js";

/** Reads a campaign from a folder with small.yaml and small-2.yaml. */
function campaignOf(text: string) {
	return withTemporaryFolder(async (folder) => {
		await mkdir(join(folder, "more"));
		for (const name of ["small.yaml", "small-2.yaml", "more/other.yaml"]) await writeFile(join(folder, name), SMALL);
		await writeFile(join(folder, "c.yaml"), text);
		return readCampaign(join(folder, "c.yaml"));
	});
}

function planOf(text: string): Promise<Plan> {
	return withTemporaryFolder(async (folder) => {
		await writeFile(join(folder, "small.yaml"), SMALL);
		await writeFile(join(folder, "c.yaml"), text);
		return planCampaign(await readCampaign(join(folder, "c.yaml")), "1");
	});
}

/** A program in place of `klpemu worker`, which reads lines and answers by the result of `answer`, JavaScript. */
function worker(answer: string): string[] {
	const program = `require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
		const { id, job } = JSON.parse(line);
		const result = (() => { ${answer} })();
		if (result !== undefined) console.log(JSON.stringify({ id, result }));
	});`;
	return [process.execPath, "-e", program];
}

const row = (result: string, more = "") =>
	`{ rows: [{ design: job.variant, result: "${result}", invariant: null, message: null, scheduleLength: null, states: job.states, transitions: 1, depth: 1, seconds: 1, schedule: null ${more} }] }`;

const never = new AbortController().signal;

describe("the file", () => {
	test("has scenarios by pattern, each once, named as seen from it", async () => {
		const { scenarios, designs, states } = await campaignOf(
			"scenarios: [small.yaml, small*.yaml, more/*.yaml]\ndesigns: all\n",
		);
		expect(scenarios.map(({ name }) => name)).toEqual(["small.yaml", "small-2.yaml", "more/other.yaml"]);
		expect(designs).toContain("universe");
		expect(states).toBe(4_000_000);
	});

	test("a pattern with many stars is matched in no time", async () => {
		const name = `${"a".repeat(200)}.yaml`;
		await withTemporaryFolder(async (folder) => {
			for (const one of [name, "ab.yaml", "b.yaml"]) await writeFile(join(folder, one), SMALL);
			const found = async (pattern: string) => {
				await writeFile(join(folder, "c.yaml"), `scenarios: ["${pattern}"]\n`);
				return (await readCampaign(join(folder, "c.yaml"))).scenarios.map(({ name }) => name);
			};
			expect(await found(`${"a*".repeat(60)}.yaml`)).toEqual([name]);
			await expect(found(`${"a*".repeat(60)}b.yaml`)).rejects.toMatchObject({ code: "CAMPAIGN_EMPTY" });
			expect(await found("*b*.yaml")).toEqual(["ab.yaml", "b.yaml"]);
			await expect(found("ab*b.yaml")).rejects.toMatchObject({ code: "CAMPAIGN_EMPTY" });
		});
	});

	test("has kernels and mutants of them, which have the patches of both", async () => {
		const { kernels, swarm, title, seconds } = await campaignOf(
			[
				"scenarios: [small.yaml]\ntitle: T\nseconds: 9\nstates: 50\nswarm: { searches: 3 }",
				"kernels: { a: { core: a.klpcore }, b: { source: linux, headers: h, patches: [b.diff] } }",
				"mutants: { m: { kernel: b, patches: [m.diff] } }\n",
			].join("\n"),
		);
		const names = (paths: readonly (string | undefined)[]) => paths.map((path) => path && basename(path));
		expect(
			kernels.map(({ name, core, source, headers, patches, mutant }) => [
				...[name, mutant, ...names([core, source, headers]), names(patches)],
			]),
		).toEqual([
			["a", false, "a.klpcore", undefined, undefined, []],
			["b", false, undefined, "linux", "h", ["b.diff"]],
			["m", true, undefined, "linux", "h", ["b.diff", "m.diff"]],
		]);
		expect({ swarm, title, seconds }).toEqual({ swarm: { searches: 3, states: 50 }, title: "T", seconds: 9 });
	});

	test.each([
		["scenarios: []\n", "CAMPAIGN_BAD_VALUE", ":1:12"],
		["scenarios: [small.yaml]\ndesign: universe\n", "CAMPAIGN_UNKNOWN_KEY", "did you mean 'designs'"],
		["scenarios: [small.yaml]\ndesigns: [univers]\n", "CAMPAIGN_BAD_VALUE", ":2:11"],
		["scenarios: [none*.yaml]\n", "CAMPAIGN_EMPTY", "no scenario matches 'none*.yaml'"],
		[
			"scenarios: [small.yaml]\nmutants: { m: { kernel: k, patches: [a.diff] } }\n",
			"CAMPAIGN_BAD_VALUE",
			"no kernel 'k'",
		],
		["scenarios: [", "CAMPAIGN_SYNTAX", "docs/campaigns.md"],
		[
			"scenarios: [small.yaml]\nkernels: { k: { core: k.klpcore, source: linux } }\n",
			"CAMPAIGN_BAD_VALUE",
			"a kernel is a core, or what to build it of, not both",
		],
		[
			"scenarios: [small.yaml]\nkernels: { k: { source: linux } }\nmutants: { k: { kernel: k, patches: [a.diff] } }\n",
			"CAMPAIGN_BAD_VALUE",
			"there is a kernel 'k', too",
		],
		[
			"scenarios: [small.yaml]\nkernels: { k: { core: k.klpcore } }\nmutants: { m: { kernel: k, patches: [a.diff] } }\n",
			"CAMPAIGN_BAD_VALUE",
			"'k' is built already",
		],
	])("%j is refused by %s", async (text, code, message) => {
		await expect(campaignOf(text)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
	});
});

describe("jobs", () => {
	test("hold content, and no path of this machine", async () => {
		const plan = await planOf("scenarios: [small.yaml]\ndesigns: [mainline]\n");
		const { job } = plan.cells[0]!.jobs[0]!;
		expect(JSON.stringify(job)).not.toContain(process.cwd());
		for (const bytes of plan.blobs.values()) expect(Buffer.from(bytes).includes(process.cwd())).toBe(false);
		expect(Object.keys(job.objects)).toEqual(["asm/vmlinux/funcs.c", "asm/livepatches/lp1.c"].sort());
	});

	test("have an id that depends on all that is in them, and on nothing else", async () => {
		const ids = async (text: string, release = "1") => {
			const { job } = (await planOf(text)).cells[0]!.jobs[0]!;
			return jobId(job, release);
		};
		const id = await ids("scenarios: [small.yaml]\n");
		expect(await ids("title: Another\nscenarios: [small.yaml]\n")).toBe(id);
		expect(await ids("scenarios: [small.yaml]\nstates: 7\n")).not.toBe(id);
		expect(await ids("scenarios: [small.yaml]\n", "2")).not.toBe(id);
	});

	test("are made by klpemu worker, a line each; lines that are none are answered by an error", async () => {
		const plan = await planOf("scenarios: [small.yaml]\ndesigns: [mainline]\n");
		const { job } = plan.cells[0]!.jobs[0]!;
		const blobs = blobsFor(job, plan.blobs);
		const [damaged] = [...blobs.keys()];
		const input = new PassThrough();
		const answers: Record<string, unknown>[] = [];
		const done = answerJobs(input, (line) => {
			const answer = JSON.parse(line) as Record<string, unknown>;
			if ("result" in answer) answers.push(answer);
			if (answers.length === 4) input.end();
		});
		input.write("nonsense\n");
		input.write(`${JSON.stringify({ id: "a", job: { schema: 2 }, blobs: {} })}\n`);
		input.write(jobLine("b", job, new Map([...blobs, [damaged!, new Uint8Array(3)]])));
		input.write(jobLine("c", job, blobs));
		await done;
		expect(answers).toMatchObject([
			{ id: "", result: { error: { code: "JOB_FORMAT" } } },
			{ id: "a", result: { error: { code: "JOB_FORMAT" } } },
			{ id: "b", result: { error: { code: "JOB_BLOB", message: expect.stringContaining("is damaged") } } },
			{ id: "c", result: { rows: [{ design: "mainline", result: "complete", asExpected: true }] } },
		]);
	});

	test("of another version are refused", () => {
		expect(() => parseJob({ schema: 2 })).toThrow(/same version of klpemu/);
		expect(parseResult({ rows: [{ states: "many" }] })).toEqual({ lost: "the worker's answer is not a result" });
	});
});

describe("processes", () => {
	const plan = () => planOf("scenarios: [small.yaml]\ndesigns: [mainline, universe]\nstates: 9\nseconds: 3600\n");

	test("that die are started again, and the job is tried again", async () => {
		const made = await plan();
		const notices: string[] = [];
		await withTemporaryFolder(async (folder) => {
			const answer = `const died = ${JSON.stringify(join(folder, "died"))}, fs = require("node:fs");
				if (job.variant === "universe" && !fs.existsSync(died)) { fs.writeFileSync(died, ""); process.kill(process.pid, 9); }
				return ${row("complete")};`;
			await runLocally(made, worker(answer), 1, { onNotice: (text) => void notices.push(text) }, never);
		});
		expect(reportOf(made).rows.map(({ verdict }) => verdict)).toEqual(["complete", "complete"]);
		expect(notices).toEqual(["small.yaml, universe: its process ended by SIGKILL; tried again"]);
	});

	test("that die each time are a result: lost, with the reason", async () => {
		const made = await plan();
		const notices: string[] = [];
		const answer = `if (job.variant === "universe") { console.error("out of memory"); process.exit(9); } return ${row("complete")};`;
		await runLocally(made, worker(answer), 2, { onNotice: (text) => void notices.push(text) }, never);
		const report = reportOf(made);
		expect(report.rows).toMatchObject([
			{ verdict: "complete" },
			{ verdict: "lost", message: "its process ended with status 9: out of memory" },
		]);
		expect(notices).toHaveLength(2);
		expect(campaignStatus(report)).toBe(1);
	});

	test("that hang are ended", async () => {
		const made = await plan();
		const { job } = made.cells[0]!.jobs[0]!;
		const hanging = new JobProcess(worker("for (;;);"), 0.2);
		const begun = hanging.run({ ...job, seconds: 1 }, new Map());
		const pid = hanging.pid!;
		expect(await begun).toEqual({ failed: "no answer after 1.2 s" });
		await expect.poll(() => isAlive(pid)).toBe(false);
	});

	test("end when the campaign is stopped, and what has a result is reported", async () => {
		const made = await plan();
		const stop = new AbortController();
		// The second one says that it has begun, and nothing more.
		const answer = `if (job.variant === "mainline") return ${row("complete", ", asExpected: true")};
			console.log(JSON.stringify({ id, states: 1 }));`;
		await runLocally(made, worker(answer), 1, { onProgress: () => stop.abort() }, stop.signal);
		const report = reportOf(made);
		expect(report.rows.map(({ verdict }) => verdict)).toEqual(["complete", "open"]);
		expect(campaignStatus(report)).toBe(3);
		expect(campaignText(report)).toContain("stopped: 1 of 2 have no result yet.");
	});

	test("make the swarm of a search that is bounded, in other orders", async () => {
		const made = await planOf("scenarios: [small.yaml]\nswarm: { searches: 3, states: 5 }\n");
		const answer = `if (job.order === 2) return ${row("violated", ', invariant: "warn", scheduleLength: 4, asExpected: false')};
			return ${row("bounded")};`;
		await runLocally(made, worker(answer), 2, {}, never);
		const [one] = reportOf(made).rows;
		expect(one).toMatchObject({ verdict: "violated", invariant: "warn", searches: { done: 4, all: 4 } });
		expect(one!.states).toBe(4_000_000 + 3 * 5);
	});

	test("a result that comes twice counts once", async () => {
		const made = await plan();
		const [one] = made.cells[0]!.jobs;
		made.take(one!, { lost: "first" });
		made.take(one!, { lost: "second" });
		expect(reportOf(made).rows[0]).toMatchObject({ message: "first", searches: { done: 1, all: 1 } });
	});
});

function isAlive(pid: number): boolean {
	try {
		return process.kill(pid, 0);
	} catch {
		return false;
	}
}

describe("the report", () => {
	const of = (variant: string, verdict: CampaignRow["verdict"], asExpected: boolean | null, mutant = false) => ({
		...{ scenario: "a/<b>.yaml", variant, mutant, verdict, asExpected, invariant: null, scheduleLength: null },
		...{ message: asExpected === false ? "it <breaks>" : null, schedule: null, states: 1, seconds: 1 },
		searches: { done: 1, all: 1 },
	});
	const report = (rows: CampaignRow[], mutants: CampaignReport["mutants"] = {}): CampaignReport => ({
		...{ schema: 1, title: "T", rows, mutants },
	});

	test("has the exit status of its worst row", () => {
		expect(campaignStatus(report([of("x", "complete", true)]))).toBe(0);
		expect(campaignStatus(report([of("x", "complete", true), of("y", "bounded", null)]))).toBe(3);
		expect(campaignStatus(report([of("x", "bounded", null), of("y", "violated", false)]))).toBe(1);
		expect(campaignStatus(report([of("x", "error", null)]))).toBe(1);
	});

	test("of a cell is that of its best search; a mutant names the first scenario in which it breaks something", () => {
		const found = (result: string, more = {}): JobResult => ({
			rows: [
				{
					...{ design: "x", result: result as "violated", invariant: null, message: null, scheduleLength: null },
					...{ states: 2, transitions: 3, depth: 1, seconds: 0.5, schedule: null, ...more },
				},
			],
		});
		const cell = (scenario: string, variant: string, ...results: (JobResult | undefined)[]) => ({
			...{ scenario, variant, mutant: variant !== "k", jobs: [], results },
		});
		const violated = (scheduleLength: number) =>
			found("violated", { scheduleLength, message: `${scheduleLength} moves`, asExpected: false });
		const made = reportOf({
			campaign: { title: "T", kernels: ["k", "m", "n"].map((name) => ({ name, mutant: name !== "k" })) },
			cells: [
				cell("a", "k", found("bounded", { reason: "no time" }), violated(9), violated(4), violated(7)),
				cell("b", "k", found("bounded"), found("complete", { asExpected: true })),
				cell("c", "k", { lost: "died" }, { error: { code: "X", message: "it is wrong" } }),
				cell("d", "k", { lost: "died" }, undefined),
				cell("e", "k", undefined),
				cell("f", "k", found("refused", { failures: ["no key 'x'"] })),
				cell("a", "m", found("complete", { asExpected: true })),
				cell("b", "m", violated(3)),
				cell("a", "n", found("complete", { asExpected: true })),
			],
		} as unknown as Plan);
		expect(made.rows.map(({ verdict, message, states }) => [verdict, message, states])).toEqual([
			["violated", "4 moves", 8],
			["complete", null, 4],
			["error", "it is wrong", 0],
			["lost", "died", 0],
			["open", null, 0],
			["refused", "no key 'x'", 2],
			["complete", null, 2],
			["violated", "3 moves", 2],
			["complete", null, 2],
		]);
		expect(made.mutants).toEqual({ m: "b", n: null });
		expect(made.rows[0]).toMatchObject({ searches: { done: 4, all: 4 }, seconds: 2, scheduleLength: 4 });
	});

	test("a mutant must break something", () => {
		expect(campaignStatus(report([of("m", "violated", false, true)], { m: "a" }))).toBe(0);
		expect(campaignStatus(report([of("m", "complete", true, true)], { m: null }))).toBe(1);
		expect(campaignStatus(report([of("m", "bounded", null, true)], { m: null }))).toBe(3);
		expect(campaignText(report([of("m", "complete", true, true)], { m: null }))).toContain("nothing found for m");
	});

	test("as text tells what is not as expected, and what the mutants break", () => {
		const rows = [
			{ ...of("x", "violated", false), invariant: "warn" },
			{ ...of("y", "violated", true), message: "as it should be" },
			{ ...of("z", "complete", true), message: "nothing to tell" },
			of("w", "error", false),
			of("v", "bounded", null),
		];
		expect(campaignText(report(rows, { m: "a/<b>.yaml", n: null }))).toBe(`T

scenario  under  verdict   expected  invariant  states
<b>       x      violated  NO        warn            1
<b>       y      violated  yes       -               1
<b>       z      complete  yes       -               1
<b>       w      error     NO        -               1
<b>       v      bounded   -         -               1

<b>, x: warn: it <breaks>
<b>, y: as it should be
<b>, w: it <breaks>

mutants: 1 of 2 break something
  m: <b>
  nothing found for n

bounded: not all states were seen, so that nothing is said about the others.
`);
	});

	test("as a page has a cell for each scenario and variant, and the schedules", () => {
		const rows = [
			of("x", "complete", true),
			{ ...of("y", "violated", false), invariant: "warn", schedule: "a & b" },
			of("z", "bounded", null),
			{ ...of("x", "open", null), scenario: "other.yaml" },
			{ ...of("m", "violated", false, true), scenario: "other.yaml" },
		];
		const html = campaignHtml(report(rows));
		const cells = [...html.matchAll(/<td.*?<\/td>/g)].map(([cell]) => cell);
		expect(cells).toEqual([
			'<td class="yes">complete<br><small>1 states</small></td>',
			'<td class="no">violated<br><small>warn</small></td>',
			'<td class="unknown">bounded</td>',
			"<td></td>",
			'<td class="unknown">open</td>',
			"<td></td>",
			"<td></td>",
			'<td class="yes">violated</td>',
		]);
		expect(html).toContain("<summary>the schedule, for klpemu replay</summary><pre>a &amp; b</pre>");
	});

	test("as a page shows text as text", () => {
		const html = campaignHtml(report([of("x", "violated", false)]));
		expect(html).toContain("it &lt;breaks&gt;");
		expect(html).not.toContain("<breaks>");
		expect(html).toContain("default-src 'none'");
	});
});
