import { readdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import * as v from "valibot";
import { KlpemuError } from "../../base/index.js";
import { designs } from "../../designs/index.js";
import { readDocument } from "../../scenario/index.js";
import { readText } from "../files.js";

const designNames = designs.map(({ name }) => name);

const text = v.pipe(v.string(), v.minLength(1));
const count = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(most));
const kernel = v.strictObject({
	core: v.optional(text),
	source: v.optional(text),
	headers: v.optional(text),
	patches: v.optional(v.array(text)),
});

const campaignSchema = v.strictObject({
	title: v.optional(text),
	scenarios: v.pipe(v.array(text), v.minLength(1)),
	designs: v.optional(v.union([v.literal("all"), v.array(v.picklist(designNames))])),
	kernels: v.optional(v.record(text, kernel)),
	mutants: v.optional(v.record(text, v.strictObject({ kernel: text, patches: v.array(text) }))),
	states: v.optional(count(1e9)),
	seconds: v.optional(count(1e6)),
	swarm: v.optional(v.strictObject({ searches: count(10_000), states: v.optional(count(1e9)) })),
});

/** A kernel core: a file of `klpemu kernel build`, or what to build. Paths are absolute. */
export interface CampaignKernel {
	readonly name: string;
	readonly core: string | undefined;
	readonly source: string | undefined;
	readonly headers: string | undefined;
	readonly patches: readonly string[];
	/** It is expected to break something in at least one scenario. */
	readonly mutant: boolean;
}

/** A campaign: each scenario under each design and each kernel. docs/campaigns.md describes the file. */
export interface Campaign {
	readonly title: string;
	/** The scenario files, each once: the name as seen from the campaign file, and the path on this machine. */
	readonly scenarios: readonly { readonly name: string; readonly path: string }[];
	/** Empty: only the scenario's own design, unless there are kernels. */
	readonly designs: readonly string[];
	readonly kernels: readonly CampaignKernel[];
	/** Budget of one search, in states. */
	readonly states: number;
	/** Seconds after which a search is ended. */
	readonly seconds: number;
	/** Further searches, in other orders, of what the first one could not finish. */
	readonly swarm: { readonly searches: number; readonly states: number } | undefined;
}

/** Default of `states`: as `klpemu explore`. */
const STATES = 4_000_000;
const SECONDS = 3600;

/**
 * Reads a campaign file. Throws `FILE_MISSING`, `CAMPAIGN_SYNTAX`, `CAMPAIGN_UNKNOWN_KEY`, `CAMPAIGN_BAD_VALUE`, ... with the place in the
 * file, and `CAMPAIGN_EMPTY` if a pattern matches no file.
 */
export async function readCampaign(file: string): Promise<Campaign> {
	const document = asCampaign(await readText(file), file);
	const { value } = document;
	const bad = (...problem: [path: string[], message: string, hint?: string]) =>
		document.error("CAMPAIGN_BAD_VALUE", ...problem);
	const folder = dirname(resolve(file));
	const path = (name: string) => resolve(folder, name);
	const kernels = Object.entries(value.kernels ?? {}).map(([name, { core, source, headers, patches = [] }]) => {
		if (core !== undefined && (source ?? headers ?? patches[0]) !== undefined) {
			throw bad(["kernels", name], "a kernel is a core, or what to build it of, not both");
		}
		return {
			name,
			...{ core: core && path(core), source: source && path(source), headers: headers && path(headers) },
			patches: patches.map(path),
			mutant: false,
		};
	});
	const mutants = Object.entries(value.mutants ?? {}).map(([name, mutant]) => {
		const base = kernels.find((one) => one.name === mutant.kernel);
		if (kernels.some((one) => one.name === name)) throw bad(["mutants", name], `there is a kernel '${name}', too`);
		if (base === undefined)
			throw bad(["mutants", name, "kernel"], `there is no kernel '${mutant.kernel}'`, "name it in kernels");
		if (base.core !== undefined)
			throw bad(["mutants", name, "kernel"], `'${base.name}' is built already`, "a mutant is built of a source");
		return { ...base, name, patches: [...base.patches, ...mutant.patches.map(path)], mutant: true };
	});
	const states = value.states ?? STATES;
	return {
		title: value.title ?? basename(file),
		scenarios: await scenariosOf(file, folder, value.scenarios),
		designs: value.designs === "all" ? designNames : [...new Set(value.designs ?? [])],
		kernels: [...kernels, ...mutants],
		states,
		seconds: value.seconds ?? SECONDS,
		swarm: value.swarm && { searches: value.swarm.searches, states: value.swarm.states ?? states },
	};
}

function asCampaign(content: string, file: string) {
	try {
		return readDocument(content, file, campaignSchema);
	} catch (error) {
		if (!(error instanceof KlpemuError)) throw error;
		throw new KlpemuError(error.code.replace(/^SCENARIO_/, "CAMPAIGN_"), error.reason, {
			where: error.where,
			hint:
				error.code === "SCENARIO_SYNTAX"
					? "docs/campaigns.md describes the file"
					: (error.hint ?? "see docs/campaigns.md"),
		});
	}
}

/** The files, in the order of the list; those of a pattern in the order of their names. */
async function scenariosOf(file: string, folder: string, patterns: readonly string[]): Promise<Campaign["scenarios"]> {
	const names: string[] = [];
	for (const pattern of patterns)
		names.push(...(pattern.includes("*") ? await matches(file, folder, pattern) : [pattern]));
	return [...new Set(names)].map((name) => ({ name, path: resolve(folder, name) }));
}

async function matches(file: string, folder: string, pattern: string): Promise<string[]> {
	const [place, last] = [dirname(pattern), basename(pattern)];
	const parts = last.split("*");
	const names = (await readdir(resolve(folder, place)).catch(() => [])).filter((name) => isMatch(name, parts)).sort();
	if (names.length > 0) return names.map((name) => join(place, name));
	throw new KlpemuError("CAMPAIGN_EMPTY", `no scenario matches '${pattern}'`, {
		where: file,
		hint: `looked in ${resolve(folder, place)}; * stands for a part of a file's name, not of a folder's`,
	});
}

/** A name is made of the parts of a pattern, with anything between them. No RegExp: many stars would take it years. */
function isMatch(name: string, parts: readonly string[]): boolean {
	const [first, last] = [parts[0]!, parts.at(-1)!];
	const end = name.length - last.length;
	if (!name.startsWith(first) || !name.endsWith(last) || end < first.length) return false;
	let at = first.length;
	for (const part of parts.slice(1, -1)) {
		const found = name.indexOf(part, at);
		if (found < 0) return false;
		at = found + part.length;
	}
	return at <= end;
}
