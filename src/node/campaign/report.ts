import type { ExploreRow } from "../explore-rows.js";
import type { JobResult } from "./job.js";
import type { Cell, Plan } from "./plan.js";

/** The result of one scenario under one design or kernel. */
export interface CampaignRow {
	readonly scenario: string;
	readonly variant: string;
	readonly mutant: boolean;
	/**
	 * As `klpemu explore` says it; `error`: the scenario is wrong, or not supported; `lost`: its process died or hung each time; `open`:
	 * the campaign was stopped before.
	 */
	readonly verdict: ExploreRow["result"] | "error" | "lost" | "open";
	/** null: not known. */
	readonly asExpected: boolean | null;
	readonly invariant: string | null;
	readonly message: string | null;
	readonly scheduleLength: number | null;
	readonly schedule: string | null;
	/** Of all searches together; a state that two of them see counts twice. */
	readonly states: number;
	readonly seconds: number;
	/** Searches that have a result, and all. */
	readonly searches: { readonly done: number; readonly all: number };
}

/** The document that `klpemu campaign --json` prints. Keys are only ever added within one `schema` number. */
export interface CampaignReport {
	readonly schema: 1;
	readonly title: string;
	readonly rows: readonly CampaignRow[];
	/** For each mutant, a scenario in which it breaks something, or null. */
	readonly mutants: Readonly<Record<string, string | null>>;
}

export function reportOf({ campaign, cells }: Plan): CampaignReport {
	const rows = cells.map(rowOf);
	const mutants = campaign.kernels.filter(({ mutant }) => mutant).map(({ name }) => name);
	const caught = (name: string) => rows.find(({ variant, asExpected }) => variant === name && asExpected === false);
	return {
		schema: 1,
		title: campaign.title,
		rows,
		mutants: Object.fromEntries(mutants.map((name) => [name, caught(name)?.scenario ?? null])),
	};
}

/** 1: something is not as expected, or has no result; 3: not all is known. As of `klpemu explore`. */
export function campaignStatus({ rows, mutants }: CampaignReport): 0 | 1 | 3 {
	const wrong = rows.some(
		({ mutant, asExpected, verdict }) => verdict === "error" || verdict === "lost" || (!mutant && asExpected === false),
	);
	if (wrong) return 1;
	const unknown = rows.some(({ mutant, verdict }) => !mutant && (verdict === "bounded" || verdict === "open"));
	const missed = Object.keys(mutants).filter((name) => mutants[name] === null);
	const sought = (name: string) => rows.every(({ variant, verdict }) => variant !== name || verdict === "complete");
	if (missed.some(sought)) return 1;
	return unknown || missed.length > 0 ? 3 : 0;
}

function rowOf({ scenario, variant, mutant, results }: Cell): CampaignRow {
	const done = results.filter((result) => result !== undefined);
	const rows = done.flatMap((result) => ("rows" in result ? result.rows : []));
	// A search that has broken something tells more than all others, and one that has seen all tells the rest.
	const best =
		shortest(rows) ??
		rows.find(({ result }) => result === "complete") ??
		rows.find(({ result }) => result !== "violated");
	const sum = (of: (row: ExploreRow) => number) => rows.reduce((all, row) => all + of(row), 0);
	return {
		...{ scenario, variant, mutant },
		verdict: best?.result ?? withoutRows(done),
		asExpected: best?.asExpected ?? null,
		invariant: best?.invariant ?? null,
		message: best?.message ?? best?.failures?.[0] ?? reasonOf(done),
		scheduleLength: best?.scheduleLength ?? null,
		schedule: best?.schedule ?? null,
		states: sum(({ states }) => states),
		seconds: Math.round(1000 * sum(({ seconds }) => seconds)) / 1000,
		searches: { done: done.length, all: results.length },
	};
}

function shortest(rows: readonly ExploreRow[]): ExploreRow | undefined {
	const violated = rows.filter(({ result }) => result === "violated");
	return violated.sort((a, b) => a.scheduleLength! - b.scheduleLength!)[0];
}

function withoutRows(done: readonly JobResult[]): "error" | "lost" | "open" {
	if (done.length === 0) return "open";
	return done.some((result) => "error" in result) ? "error" : "lost";
}

/** An error, which is the verdict then, before what a lost process said. */
function reasonOf(done: readonly JobResult[]): string | null {
	const errors = done.flatMap((result) => ("error" in result ? [result.error.message] : []));
	const lost = done.flatMap((result) => ("lost" in result ? [result.lost] : []));
	return [...errors, ...lost][0] ?? null;
}
