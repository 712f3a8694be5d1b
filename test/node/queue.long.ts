/** Campaigns over Redis: whatever dies, hangs or goes away, nothing is lost, and nothing counts twice. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import {
	type CampaignReport,
	type Job,
	planCampaign,
	readCampaign,
	reportOf,
	runOnQueue,
} from "../../src/node/campaign/index.js";
import { bundled } from "../support/bundled.js";
import { skipBecause } from "../support/skip.js";
import { SMALL } from "../support/small-scenario.js";

const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;
const NO_REDIS = "there is no redis-server: apt-get install -y redis-server";

/** No machine is so slow that a search of these tests takes its time. */
const CAMPAIGN = "scenarios: [small.yaml]\ndesigns: [mainline, rfc-2025, universe]\nseconds: 3600\n";

let program: string;
let folder: string;
let port: number;
const started: ChildProcess[] = [];

beforeAll(async () => {
	program = await bundled("queue", "test/support/queue-worker.ts");
});

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-queue-"));
	port = await freePort();
	await writeFile(join(folder, "small.yaml"), SMALL);
	await writeFile(join(folder, "c.yaml"), CAMPAIGN);
});

afterEach(async () => {
	for (const process of started.splice(0)) process.kill("SIGKILL");
	await rm(folder, { recursive: true, force: true });
});

function freePort(): Promise<number> {
	return new Promise((resolve) => {
		const server = createServer().listen(0, "127.0.0.1", () => {
			const address = server.address();
			server.close(() => resolve(typeof address === "object" ? address!.port : 0));
		});
	});
}

const url = () => `redis://127.0.0.1:${port}`;

function start(command: string, args: readonly string[]): ChildProcess {
	const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
	started.push(child);
	return child;
}

/** Waits until it has printed that. */
async function until(child: ChildProcess, text: string): Promise<void> {
	let said = "";
	await new Promise<void>((resolve, reject) => {
		for (const stream of [child.stdout!, child.stderr!]) {
			stream.on("data", (more) => {
				said += more;
				if (said.includes(text)) resolve();
			});
		}
		child.once("exit", () => reject(new Error(`it ends: ${said}`)));
	});
}

/** Starts a server, and waits until it takes connections. */
async function redis(): Promise<ChildProcess> {
	const place = ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--dir", folder];
	const child = start("redis-server", place);
	await until(child, "Ready to accept connections");
	return child;
}

/** `lock`: milliseconds without a word after which another worker takes its searches. */
const worker = (lock = 60_000) => start(process.execPath, [program, url(), folder, String(lock)]);

const exited = (child: ChildProcess) => new Promise((resolve) => child.once("exit", resolve));

/** The searches that began, in order. */
async function begun(): Promise<string[]> {
	return (await readFile(join(folder, "begun"), "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
}

const file = (name: string) => join(folder, name);

/** `change`: of each job. */
async function campaign(
	notices: string[] = [],
	signal = new AbortController().signal,
	change: (job: Job) => Partial<Job> = () => ({}),
): Promise<CampaignReport> {
	const plan = await planCampaign(await readCampaign(join(folder, "c.yaml")), "1");
	for (const { job } of plan.cells.flatMap(({ jobs }) => jobs)) Object.assign(job, change(job));
	await runOnQueue(plan, url(), { onNotice: (text) => void notices.push(text) }, signal);
	return reportOf(plan);
}

const verdicts = ({ rows }: CampaignReport) => rows.map(({ verdict, searches }) => `${verdict} ${searches.done}`);
const ALL = ["complete 1", "complete 1", "complete 1"];

/** Milliseconds after which a dead worker's search is taken, by one that has the same. */
const LOCK = 6000;

/** A campaign whose first search has begun, and does not end while the file `wait` is there. */
async function inTheMiddle() {
	const server = await redis();
	await writeFile(file("wait"), "");
	const first = worker(LOCK);
	const running = campaign();
	await expect.poll(begun).toHaveLength(1);
	return { server, first, running };
}

test("a Redis that is not there is an error", async ({ skip }) => {
	if (!hasRedis) skipBecause(skip, NO_REDIS);
	// No server of anybody has port 1.
	port = 1;
	await expect(campaign()).rejects.toMatchObject({ code: "REDIS_UNREACHABLE" });
});

test("two workers share the searches; the same campaign again needs none", async ({ skip }) => {
	if (!hasRedis) skipBecause(skip, NO_REDIS);
	await redis();
	worker();
	worker();
	expect(verdicts(await campaign())).toEqual(ALL);
	expect((await begun()).sort()).toEqual(["mainline", "rfc-2025", "universe"]);
	expect(verdicts(await campaign())).toEqual(ALL);
	expect(await begun()).toHaveLength(3);
});

test("the search of a worker that dies is made by another one", async ({ skip }) => {
	if (!hasRedis) skipBecause(skip, NO_REDIS);
	const { first, running } = await inTheMiddle();
	first.kill("SIGKILL");
	await rm(file("wait"));
	worker(LOCK);
	expect(verdicts(await running)).toEqual(ALL);
	// The search of the dead worker, and all three.
	expect(await begun()).toHaveLength(4);
});

test("a worker that is stopped gives its search back", async ({ skip }) => {
	if (!hasRedis) skipBecause(skip, NO_REDIS);
	const { first, running } = await inTheMiddle();
	first.kill("SIGTERM");
	expect(await exited(first)).toBe(0);
	await rm(file("wait"));
	worker();
	expect(verdicts(await running)).toEqual(ALL);
});

test("a worker that is stopped while Redis is gone ends all the same", async ({ skip }) => {
	if (!hasRedis) skipBecause(skip, NO_REDIS);
	const { server, first, running } = await inTheMiddle();
	const told = until(first, "Redis is gone");
	server.kill("SIGKILL");
	await told;
	first.kill("SIGTERM");
	expect(await exited(first)).toBe(0);
	await rm(file("wait"));
	await redis();
	worker();
	expect(verdicts(await running)).toEqual(ALL);
});

test("a search that hangs is ended and tried again; then it is lost, and the others are not", async ({ skip }) => {
	if (!hasRedis) skipBecause(skip, NO_REDIS);
	await redis();
	await writeFile(file("hang"), "");
	worker();
	const report = await campaign([], undefined, ({ variant }) => (variant === "universe" ? { seconds: 1 } : {}));
	expect(verdicts(report)).toEqual(["complete 1", "complete 1", "lost 1"]);
	expect(report.rows[2]!.message).toBe("no answer after 2 s");
	expect((await begun()).filter((name) => name === "universe")).toHaveLength(3);
	// The next campaign tries it again.
	await rm(file("hang"));
	expect(verdicts(await campaign())).toEqual(ALL);
});

test("a campaign that is killed goes on where it was", async ({ skip }) => {
	if (!hasRedis) skipBecause(skip, NO_REDIS);
	await redis();
	await writeFile(file("wait"), "");
	const stop = new AbortController();
	const first = campaign([], stop.signal);
	worker();
	await expect.poll(begun).toHaveLength(1);
	stop.abort();
	expect(verdicts(await first)).toEqual(["open 0", "open 0", "open 0"]);
	await rm(file("wait"));
	// The worker goes on with what is in the queue.
	await expect.poll(begun).toHaveLength(3);
	expect(verdicts(await campaign())).toEqual(ALL);
	expect(await begun()).toHaveLength(3);
});

test("Redis may go, lose everything, and come back", async ({ skip }) => {
	if (!hasRedis) skipBecause(skip, NO_REDIS);
	const server = await redis();
	await writeFile(file("wait"), "");
	worker();
	const notices: string[] = [];
	const running = campaign(notices);
	await expect.poll(begun).toHaveLength(1);
	server.kill("SIGKILL");
	await expect.poll(() => notices.join()).toContain("Redis is gone");
	await rm(file("wait"));
	await redis();
	expect(verdicts(await running)).toEqual(ALL);
	expect(notices).toContain("Redis is back");
});
