import { createHash } from "node:crypto";
import * as v from "valibot";
import { KlpemuError } from "../../base/index.js";
import type { PackedScenario } from "../../scenario/index.js";
import { type ExploreRow, rowSchema } from "../explore-rows.js";

/** Text and bytes that jobs share, by their SHA-256 in hex: a job names them, and is short. */
export type Blobs = ReadonlyMap<string, Uint8Array>;

const sha = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

const jobSchema = v.object({
	schema: v.literal(1),
	/** The name of the scenario's file, for messages. */
	scenario: v.string(),
	/** The name of the design or kernel, for the report. */
	variant: v.string(),
	/** The scenario file. */
	text: sha,
	files: v.record(v.string(), sha),
	objects: v.record(v.string(), sha),
	/** JSON text of a kernel's layout. */
	layout: v.exactOptional(sha),
	design: v.exactOptional(v.string()),
	/** The file of a kernel core. */
	core: v.exactOptional(sha),
	states: whole,
	seconds: whole,
	/** Seed of another order of the search; undefined: breadth first. */
	order: v.exactOptional(v.pipe(v.number(), v.safeInteger())),
});

/** One search. It holds content, not paths, so that any machine can make it; the same job has the same result. */
export type Job = Readonly<v.InferOutput<typeof jobSchema>>;

/** Reads a job from elsewhere. Throws `JOB_FORMAT`. */
export function parseJob(value: unknown): Job {
	const result = v.safeParse(jobSchema, value);
	if (result.success) return result.output;
	const [issue] = result.issues;
	throw new KlpemuError("JOB_FORMAT", `not a job: ${v.getDotPath(issue) ?? "the value"}: ${issue.message}`, {
		hint: "klpemu campaign makes jobs; use the same version of klpemu on all machines",
	});
}

/** SHA-256 of a job: two jobs with the same id have the same result. `release`: the version of klpemu. */
export function jobId(job: Job, release: string): string {
	return createHash("sha256").update(release).update("\0").update(JSON.stringify(job)).digest("hex");
}

/** All blobs that a job names. */
export function blobsOf({ text, files, objects, layout, core }: Job): string[] {
	return [text, ...Object.values(files), ...Object.values(objects), layout, core].filter((one) => one !== undefined);
}

/** The content that one job names. */
export function blobsFor(job: Job, blobs: Blobs): Blobs {
	return new Map(blobsOf(job).map((hash) => [hash, blobOf(hash, blobs)]));
}

const resultSchema = v.union([
	v.object({ rows: v.array(rowSchema) }),
	v.object({ error: v.object({ code: v.string(), message: v.string() }) }),
	v.object({ lost: v.string() }),
]);

/**
 * What came of a job: the rows of `klpemu explore --json`; an error, because the scenario is wrong or the search met something that it does
 * not support; or nothing, because the process died or did not answer, each time that it was tried.
 */
export type JobResult =
	| { readonly rows: readonly ExploreRow[] }
	| { readonly error: { readonly code: string; readonly message: string } }
	| { readonly lost: string };

/** Reads a result from elsewhere. */
export function parseResult(value: unknown): JobResult {
	const result = v.safeParse(resultSchema, value);
	return result.success ? result.output : { lost: "the worker's answer is not a result" };
}

/** A pack as the parts of a job; the content goes to `blobs`. */
export function partsOf(
	pack: PackedScenario,
	blobs: Map<string, Uint8Array>,
): Pick<Job, "text" | "files" | "objects" | "layout"> {
	const put = (content: Uint8Array | string) => putBlob(content, blobs);
	const all = (record: Readonly<Record<string, Uint8Array>>) =>
		Object.fromEntries(Object.entries(record).map(([name, bytes]) => [name, put(bytes)]));
	return {
		text: put(pack.text),
		files: all(pack.files),
		objects: all(pack.objects),
		...(pack.layout !== undefined && { layout: put(JSON.stringify(pack.layout)) }),
	};
}

/** Adds content; returns its hash. */
export function putBlob(content: Uint8Array | string, blobs: Map<string, Uint8Array>): string {
	const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
	const hash = createHash("sha256").update(bytes).digest("hex");
	blobs.set(hash, bytes);
	return hash;
}

const layoutSchema = v.object({
	release: v.string(),
	entries: v.record(v.string(), v.pipe(v.string(), v.regex(/^\d{1,20}$/))),
});

/** The pack of a job. Throws `JOB_BLOB` for content that is missing, or is not what its hash says. */
export function packOf(job: Job, blobs: Blobs): PackedScenario {
	const all = (record: Readonly<Record<string, string>>) =>
		Object.fromEntries(Object.entries(record).map(([name, hash]) => [name, blobOf(hash, blobs)]));
	return {
		fileName: job.scenario,
		text: textOf(job.text, blobs),
		files: all(job.files),
		objects: all(job.objects),
		layout: job.layout === undefined ? undefined : v.parse(layoutSchema, JSON.parse(textOf(job.layout, blobs))),
	};
}

/** Content by its hash. Throws `JOB_BLOB`. */
export function blobOf(hash: string, blobs: Blobs): Uint8Array {
	const bytes = blobs.get(hash);
	if (bytes !== undefined && createHash("sha256").update(bytes).digest("hex") === hash) return bytes;
	throw new KlpemuError(
		"JOB_BLOB",
		`content ${hash.slice(0, 12)} ${bytes === undefined ? "is missing" : "is damaged"}`,
		{
			hint: "start the campaign again: it sends what is missing",
		},
	);
}

function textOf(hash: string, blobs: Blobs): string {
	return new TextDecoder("utf-8", { fatal: true }).decode(blobOf(hash, blobs));
}
