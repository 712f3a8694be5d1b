import * as v from "valibot";
import { KlpemuError, printable, printableJson } from "../../base/index.js";
import { joinVisited, shortestOfEach } from "../../explore/index.js";
import { judgeOutcomes, type StepOutcome } from "../../scenario/index.js";
import { type ExploreRow, rowSchema } from "../explore-rows.js";
import { readIfThere, readText } from "../files.js";
import type { Command } from "./command.js";
import { type ExploreReport, exitStatus, exploreTable } from "./explore-report.js";
import { columnsOf } from "./fold.js";
import { parseShard } from "./shard.js";

export interface MergeOptions {
	readonly json: boolean;
}

export const mergeCommand: Command<MergeOptions> = {
	positionals: [{ name: "FILE", help: "the reports of all parts; commas may stand between them", many: true }],
	options: { json: { type: "flag", help: "print one JSON document, as klpemu explore --json does" } },
	details: [
		"Exit status: 0 as the scenario says, 1 not so, 2 bad input, 3 bounded.",
		"",
		"Example:",
		"  klpemu merge part1.json part2.json",
	],
	async run({ json }, given, io) {
		const files = await filesOf(given);
		const reports = await Promise.all(files.map(readReport));
		const merged = mergeReports(reports, files);
		io.stdout.write(json ? `${printableJson(merged)}\n` : printable(exploreTable(merged, columnsOf(io))));
		return exitStatus(merged.results);
	},
};

/** A comma stands between files, unless it is part of a file's name. */
async function filesOf(given: readonly string[]): Promise<string[]> {
	const files = await Promise.all(
		given.map(async (name) => (name.includes(",") && (await readIfThere(name)) === undefined ? name.split(",") : name)),
	);
	const names = files.flat().filter((name) => name !== "");
	if (names.length > 0) return names;
	throw new KlpemuError("CLI_BAD_ARGUMENT", "no report is named", {
		where: "klpemu merge",
		hint: "klpemu merge --help",
	});
}

/** The document that `klpemu explore --json --shard` prints; keys that are added later are ignored. */
const SHARD_REPORT: v.GenericSchema<unknown, ExploreReport> = v.object({
	schema: v.literal(1),
	scenario: v.string(),
	preemption: v.exactOptional(v.picklist(["none", "full"])),
	shard: v.pipe(
		v.string(),
		v.check((shard) => parseShard(shard) !== undefined, "Invalid part"),
	),
	results: v.array(rowSchema),
});

async function readReport(file: string): Promise<ExploreReport> {
	const bad = (message: string) =>
		new KlpemuError("MERGE_BAD_REPORT", message, { where: file, hint: "klpemu explore FILE --json --shard I/N" });
	let report: unknown;
	try {
		report = JSON.parse(await readText(file));
	} catch (cause) {
		if (cause instanceof KlpemuError) throw cause;
		throw bad("not JSON");
	}
	const result = v.safeParse(SHARD_REPORT, report);
	if (result.success) return result.output;
	const [issue] = result.issues;
	throw bad(`not the report of a shard: ${v.getDotPath(issue) ?? "the document"}: ${issue.message}`);
}

/** Parts that a message names. */
const MOST = 10;

/** Throws `MERGE_MISMATCH` if the reports are not the parts of one exploration. */
export function mergeReports(reports: readonly ExploreReport[], files: readonly string[]): ExploreReport {
	const [first] = reports;
	const countOf = ({ shard }: ExploreReport) => parseShard(shard!)!.count;
	const count = countOf(first!);
	for (const [index, report] of reports.entries()) {
		if (reports.findIndex(({ shard }) => shard === report.shard) < index) {
			throw new KlpemuError("MERGE_MISMATCH", `part ${report.shard} is given twice`, { where: files[index]! });
		}
		if (report.scenario === first!.scenario && countOf(report) === count) continue;
		throw new KlpemuError("MERGE_MISMATCH", `a part of something else than ${files[0]}`, { where: files[index]! });
	}
	const missing = Array.from({ length: count }, (_, index) => `${index + 1}/${count}`).filter(
		(shard) => !reports.some((report) => report.shard === shard),
	);
	if (missing.length > 0) {
		const more = missing.length > MOST ? ` and ${missing.length - MOST} more` : "";
		throw new KlpemuError("MERGE_MISMATCH", `parts are missing: ${missing.slice(0, MOST).join(", ")}${more}`);
	}
	const names = [...new Set(reports.flatMap(({ results }) => results.map(({ design }) => design)))];
	for (const [index, { results }] of reports.entries()) {
		const lacks = names.find((name) => !results.some(({ design }) => design === name));
		if (lacks === undefined) continue;
		const hint = "explore this part again, to its end";
		throw new KlpemuError("MERGE_MISMATCH", `nothing of design ${lacks}`, { where: files[index]!, hint });
	}
	return {
		schema: 1,
		scenario: first!.scenario,
		preemption: first!.preemption,
		results: names.flatMap((design) =>
			mergeRows(reports.map(({ results }) => results.filter((row) => row.design === design))),
		),
	};
}

/** The rows of one design, part by part: each part has at least one. */
function mergeRows(parts: readonly (readonly ExploreRow[])[]): ExploreRow[] {
	const rows = parts.flat();
	const visited = joinVisited(parts.map(([row]) => Object.entries(row!.visited ?? {})));
	const shared = {
		states: visited.size,
		transitions: [...visited.values()].reduce((sum, moves) => sum + moves, 0),
		depth: rows.reduce((deepest, { depth }) => Math.max(deepest, depth), 0),
		seconds: Math.round(1000 * parts.reduce((sum, [row]) => sum + row!.seconds, 0)) / 1000,
	};
	const violated = rows.filter(({ invariant }) => invariant !== null);
	const shortest = shortestOfEach(violated, ({ invariant, scheduleLength }) => ({
		invariant: invariant!,
		length: scheduleLength!,
	}));
	const bounded = rows.find(({ result }) => result === "bounded");
	const found = shortest.length > 0 ? shortest : [bounded ?? rows[0]!];
	const judged = judge(parts, found[0]!);
	return found.map(({ visited: _visited, ...row }) => ({ ...row, ...shared, ...judged }));
}

/** The result of all parts for the scenario's expectations; undefined if they are reports of an older klpemu. */
function judge(parts: readonly (readonly ExploreRow[])[], { result, expected }: ExploreRow): Partial<ExploreRow> {
	const steps = mergeSteps(parts.map(([row]) => row!.steps ?? []));
	if (expected === undefined || steps.length === 0 || result === "refused") return {};
	const { asExpected, failures } = judgeOutcomes(result, expected, steps, true);
	return { expected, asExpected: asExpected ?? null, failures, steps };
}

/** The steps of a scenario are the same in each part, in the same order. */
function mergeSteps(parts: readonly (readonly StepOutcome[])[]): StepOutcome[] {
	return parts[0]!.map((step, index) => {
		const all = parts.flatMap((part) => part[index] ?? []);
		const results = [...new Set(all.flatMap((one) => one.results))].sort((a, b) => b - a);
		return { ...step, results, failures: [...new Set(all.flatMap((one) => one.failures))].sort() };
	});
}
