import { parseSchedule } from "../../explore/index.js";
import type { ExploreRow } from "../explore-rows.js";
import { EXIT } from "./command.js";
import { foldTo } from "./fold.js";

/** The document that `klpemu explore --json` prints. Keys are only ever added within one `schema` number. */
export interface ExploreReport {
	readonly schema: 1;
	/** The scenario's title. */
	readonly scenario: string;
	/** Places at which a task in the kernel could lose its CPU. Older reports lack it. */
	readonly preemption?: "none" | "full" | undefined;
	readonly shard?: string | undefined;
	readonly results: readonly ExploreRow[];
}

/** 1: a result differs from the scenario. 3: no difference was found, but the search was not complete. */
export function exitStatus(results: readonly ExploreRow[]): number {
	if (results.some(({ asExpected }) => asExpected === false)) return EXIT.no;
	return results.some(({ result }) => result === "bounded") ? EXIT.bounded : EXIT.ok;
}

const HEAD = ["design", "verdict", "expected", "invariant", "schedule", "states", "transitions", "depth", "seconds"];

/** Columns that a narrow terminal does without, in this order. `--json` has them. */
const DISPENSABLE = ["transitions", "depth", "seconds", "schedule"];

/** The report as text. `columns`: of the terminal. */
export function exploreTable({ scenario, preemption, shard, results }: ExploreReport, columns?: number): string {
	const rows = results.map((row) => [
		row.design,
		row.result,
		row.asExpected === false ? "NO" : row.asExpected ? "yes" : "-",
		row.invariant ?? "-",
		row.scheduleLength === null ? "-" : `${row.scheduleLength} moves`,
		String(row.states),
		String(row.transitions),
		String(row.depth),
		row.seconds.toFixed(1),
	]);
	const widths = HEAD.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
	const left = leftOut(widths, columns);
	const line = (cells: readonly string[]) =>
		cells
			.map((cell, column) => (column < 4 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
			.filter((_, column) => !left.has(HEAD[column]!))
			.join("  ")
			.trimEnd();
	const rule = preemption === undefined ? "" : ` · preemption ${preemption}`;
	const lines = [
		`${scenario}${rule}${shard === undefined ? "" : `, part ${shard}`}`,
		"",
		line(HEAD),
		...rows.map(line),
	];
	const otherwise = otherwiseLines(results);
	if (otherwise.length > 0) lines.push("", ...otherwise);
	const told = results.filter(({ message }) => message !== null);
	if (told.length > 0) lines.push("");
	for (const { design, invariant, message, file } of told) {
		lines.push(`${design}: ${invariant}: ${message}${file === undefined ? "" : ` (${file})`}`);
	}
	for (const row of told) lines.push(...inevitableLines(row));
	if (results.some(({ result }) => result === "bounded")) {
		lines.push("", "bounded: not all states were seen, so that nothing is said about the others.");
		for (const { design, reason } of results) if (reason !== undefined) lines.push(`${design}: ${reason}`);
	}
	return foldTo(`${lines.join("\n")}\n`, columns);
}

/** The moves behind which the share of what can follow and breaks the invariant is another one, up to the one from which on all does. */
function inevitableLines({ design, invariant, inevitable, schedule }: ExploreRow): string[] {
	if (inevitable === undefined || schedule === null) return [];
	const title = `${design}: ${invariant}`;
	if ("unknown" in inevitable) return ["", `${title}: when it is inevitable is unknown: ${inevitable.unknown}`];
	const { moves } = parseSchedule(schedule, "schedule");
	const { after, shares, error, states } = inevitable;
	if (after === 0)
		return [
			"",
			`${title} is inevitable from the beginning: whatever follows, it comes (${states} states were looked at)`,
		];
	const digits = error > 1e-4 ? 2 : 4;
	const rows = shares.slice(0, after + 1).flatMap((share, made) => {
		const text = made === after ? "1" : share.toFixed(digits);
		if (made > 0 && made < after && text === shares[made - 1]!.toFixed(digits)) return [];
		const move = moves[made - 1];
		return [
			`  ${String(made).padStart(5)}  ${text.padEnd(8)}${move === undefined ? "" : `${move.who}: ${move.label}`}`.trimEnd(),
		];
	});
	return [
		"",
		`${title} is inevitable after ${after} of ${moves.length} moves. Before that, if each possible move is as likely as the others, it comes`,
		`with this probability (of ${states} states${error > 1e-4 ? `; known to ${error.toFixed(2)}` : ""}):`,
		"  moves  share",
		...rows,
	];
}

/** The columns for which there is no room. */
function leftOut(widths: readonly number[], columns: number | undefined): ReadonlySet<string> {
	let width = widths.reduce((sum, one) => sum + one + 2, -2);
	const left = new Set<string>();
	for (const title of DISPENSABLE) {
		if (columns === undefined || width <= columns) break;
		left.add(title);
		width -= widths[HEAD.indexOf(title)]! + 2;
	}
	return left;
}

/** The differences from the scenario, design by design. */
function otherwiseLines(results: readonly ExploreRow[]): string[] {
	const lines = results.flatMap(({ design, result, expected, asExpected, failures = [] }) => {
		const verdict = result === "violated" ? "violated" : "consistent";
		const wrong =
			asExpected === false &&
			(result === "violated" || result === "complete") &&
			expected !== undefined &&
			expected !== verdict;
		const told = wrong ? [...failures, `the verdict is ${verdict}, and the scenario expects ${expected}`] : failures;
		const how = result === "refused" ? "refused" : "not as the scenario says";
		return told.map((failure) => `${design}: ${how}: ${failure}`);
	});
	return [...new Set(lines)];
}
