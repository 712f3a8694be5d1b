/**
 * Campaigns over many machines: BullMQ over Redis. Jobs and their results are in the queue, the content that jobs share in keys of
 * its own. Both are optional peers of this package.
 */
import type { Queue, Job as QueueJob } from "bullmq";
import type { Redis } from "ioredis";
import { KlpemuError, printable } from "../../base/index.js";
import { type Blobs, blobsFor, blobsOf, type Job, type JobResult, parseJob, parseResult } from "./job.js";
import { JobProcess } from "./job-process.js";
import { type CampaignEvents, TRIES } from "./local.js";
import type { Plan, PlannedJob } from "./plan.js";

const PREFIX = "klpemu";
const QUEUE = "searches";
/** Seconds for which results and content are kept: a campaign that was interrupted goes on where it was. */
const KEPT = 7 * 24 * 3600;
/** Milliseconds after which another worker takes the job of one that says nothing. */
const LOCK = 15_000;
/** Milliseconds between two looks at the queue. */
const LOOK = 500;
/** Jobs that one look asks for. */
const AT_ONCE = 500;
/** Milliseconds for the first connection. */
const CONNECT = 10_000;

async function load() {
	try {
		return { ...(await import("bullmq")), Redis: (await import("ioredis")).Redis };
	} catch (cause) {
		throw new KlpemuError("REDIS_MISSING", "campaigns over Redis need the packages bullmq and ioredis", {
			hint: "npm install bullmq ioredis",
			cause,
		});
	}
}

/** Connects. Later the connection is made again whenever it is lost. Throws `REDIS_UNREACHABLE`, `CLI_BAD_ARGUMENT`. */
async function connect(url: string, notice: (text: string) => void): Promise<Redis> {
	const { Redis } = await load();
	const shown = withoutPassword(url);
	if (!/^rediss?:\/\//.test(url)) {
		throw new KlpemuError("CLI_BAD_ARGUMENT", `--redis must be an address like redis://HOST:6379, not '${shown}'`, {
			hint: "redis-server --port 6379 starts one on this machine: redis://127.0.0.1:6379",
		});
	}
	// BullMQ asks for null: a command waits until the connection is there again.
	const redis = new Redis(url, {
		maxRetriesPerRequest: null,
		lazyConnect: true,
		retryStrategy: (times) => Math.min(times * 200, 2000),
	});
	let state: "not there yet" | "there" | "gone" = "not there yet";
	let lastError = "no answer";
	redis.on("error", ({ message }) => {
		lastError = message;
		// Each try to connect again fails, too: only the first error is told.
		if (state !== "there") return;
		state = "gone";
		notice(`Redis is gone (${message}); waiting until it is back`);
	});
	redis.on("ready", () => {
		if (state === "gone") notice("Redis is back");
		state = "there";
	});
	if (await isReadyInTime(redis)) return redis;
	redis.disconnect();
	throw new KlpemuError("REDIS_UNREACHABLE", `there is no Redis at ${shown}: ${lastError}`, {
		hint: "start one: redis-server --port 6379",
	});
}

/** Begins to connect; false: there is no connection after {@link CONNECT}. */
function isReadyInTime(redis: Redis): Promise<boolean> {
	return new Promise((resolve) => {
		const timer = setTimeout(() => resolve(false), CONNECT);
		redis.once("ready", () => {
			clearTimeout(timer);
			resolve(true);
		});
		// Told by the event "error".
		redis.connect().catch(() => undefined);
	});
}

function withoutPassword(url: string): string {
	return url.replace(/\/\/[^@/]*@/, "//***@");
}

const blobKey = (hash: string) => `${PREFIX}:blob:${hash}`;

async function putBlobs(redis: Redis, blobs: Blobs): Promise<void> {
	for (const [hash, bytes] of blobs) {
		// Most content is there already, from another job.
		if ((await redis.expire(blobKey(hash), KEPT)) === 0) await redis.set(blobKey(hash), Buffer.from(bytes), "EX", KEPT);
	}
}

async function getBlobs(redis: Redis, job: Job): Promise<Blobs> {
	const blobs = new Map<string, Uint8Array>();
	for (const hash of new Set(blobsOf(job))) {
		const bytes = await redis.getBuffer(blobKey(hash));
		// The campaign sends the content again when it sees that it is gone.
		if (bytes === null) throw new Error(`content ${hash.slice(0, 12)} is not in Redis any more`);
		blobs.set(hash, new Uint8Array(bytes));
	}
	return blobsFor(job, blobs);
}

/**
 * Makes all jobs of a plan on the workers of a Redis. What the queue has lost is added again; each job counts once, whatever
 * happens. Jobs of an earlier run of the same campaign, with their results, are found by what is in them. Throws `REDIS_*`.
 */
export async function runOnQueue(plan: Plan, url: string, events: CampaignEvents, signal: AbortSignal): Promise<void> {
	const { Queue } = await load();
	const redis = await connect(url, (text) => events.onNotice?.(text));
	const queue = new Queue(QUEUE, { connection: redis, prefix: PREFIX });
	// The connection tells of its errors itself.
	queue.on("error", () => undefined);
	signal.addEventListener("abort", () => redis.disconnect());
	try {
		await new Collector(plan, redis, queue, events).run(signal);
	} catch (error) {
		// The end of the connection ends whatever waited for it.
		if (!signal.aborted) throw error;
	} finally {
		if (redis.status === "ready") await queue.close();
		redis.disconnect();
	}
}

/** Adds the jobs of a plan to a queue, and collects their results. */
class Collector {
	readonly #plan: Plan;
	readonly #redis: Redis;
	readonly #queue: Queue;
	readonly #events: CampaignEvents;
	readonly #open: Set<PlannedJob>;
	/** The jobs that were looked for in this run. */
	readonly #seen = new Set<PlannedJob>();

	constructor(plan: Plan, redis: Redis, queue: Queue, events: CampaignEvents) {
		this.#plan = plan;
		this.#redis = redis;
		this.#queue = queue;
		this.#events = events;
		this.#open = new Set(plan.cells.flatMap(({ jobs }) => jobs));
	}

	async run(signal: AbortSignal): Promise<void> {
		while (this.#open.size > 0 && !signal.aborted) {
			for (const one of [...this.#open].slice(0, AT_ONCE)) await this.#look(one);
			if (this.#open.size > 0) await new Promise((resolve) => setTimeout(resolve, LOOK));
		}
	}

	async #look(one: PlannedJob): Promise<void> {
		const isFirst = !this.#seen.has(one);
		this.#seen.add(one);
		const job = await this.#queue.getJob(one.id);
		// New, or the queue has lost it: a Redis that does not save its data was started again.
		if (job === undefined) return this.#add(one);
		if (await job.isCompleted()) return this.#close(one, parseResult(job.returnvalue));
		if (await job.isFailed()) {
			if (!isFirst) return this.#close(one, { lost: printable(job.failedReason) });
			// It failed in an earlier run of this campaign.
			await job.remove();
			return this.#add(one);
		}
		if (typeof job.progress === "number") this.#events.onProgress?.(one, job.progress);
	}

	async #add({ id, job }: PlannedJob): Promise<void> {
		await putBlobs(this.#redis, blobsFor(job, this.#plan.blobs));
		await this.#queue.add("search", job, {
			jobId: id,
			attempts: TRIES,
			backoff: { type: "fixed", delay: 1000 },
			removeOnComplete: { age: KEPT },
			removeOnFail: { age: KEPT },
		});
	}

	#close(one: PlannedJob, result: JobResult): void {
		this.#open.delete(one);
		for (const next of this.#plan.take(one, result)) this.#open.add(next);
		this.#events.onResult?.(one, result);
	}
}

/**
 * `klpemu worker --redis`: takes jobs, `processes` at a time, until `stopped` resolves. A job of a worker that is stopped goes back to the
 * queue; that of one that dies is taken by another one when its lock has run out. `lock`: milliseconds. `grace`: see {@link JobProcess}.
 */
export async function serveQueue(
	url: string,
	command: readonly string[],
	processes: number,
	events: { onNotice(text: string): void },
	stopped: Promise<void>,
	{ lock = LOCK, grace }: { readonly lock?: number; readonly grace?: number } = {},
): Promise<void> {
	const { Worker, WaitingError } = await load();
	const redis = await connect(url, events.onNotice);
	const idle = Array.from({ length: processes }, () => new JobProcess(command, grace));
	const all = [...idle];
	let stopping = false;
	const search = async (queued: QueueJob): Promise<JobResult> => {
		const process = idle.pop()!;
		try {
			const job = parseJob(queued.data);
			events.onNotice(`${job.scenario}, ${job.variant}: begins`);
			const tried = await process.run(job, await getBlobs(redis, job), (states) => {
				// A number that does not arrive is no loss.
				queued.updateProgress(states).catch(() => undefined);
			});
			if ("failed" in tried) throw new Error(tried.failed);
			events.onNotice(`${job.scenario}, ${job.variant}: ends`);
			return tried.result;
		} catch (error) {
			if (!stopping) throw error;
			await queued.moveToWait(queued.token);
			throw new WaitingError();
		} finally {
			idle.push(process);
		}
	};
	const worker = new Worker(QUEUE, search, {
		connection: redis,
		prefix: PREFIX,
		concurrency: processes,
		lockDuration: lock,
		stalledInterval: lock / 2,
		// A job that kills its worker each time must end, too.
		maxStalledCount: TRIES - 1,
	});
	worker.on("error", () => undefined);
	await stopped;
	stopping = true;
	// Without Redis nothing can be given back: another worker takes the jobs when their locks have run out.
	const isGone = redis.status !== "ready";
	const closed = worker.close(isGone);
	for (const process of all) process.close();
	await closed;
	redis.disconnect();
}
