/** --compare: finds the rows that changed by more than noise. */
import { keyOf } from "./collect.js";
import { type BenchReport, falseDiscovery, median, type Row, type Unit, welch } from "./common/index.js";

/** Of the rows that are reported as changed, on average at most this part are false alarms. */
const FALSE_DISCOVERY_RATE = 0.01;
/** A change smaller than this is not reported, even if it is certain. */
const SMALLEST = 0.03;

export interface Change {
	readonly suite: string;
	readonly id: string;
	readonly what: string;
	readonly design: string;
	readonly cpu: string;
	readonly unit: Unit;
	readonly before: number;
	readonly after: number;
	/** after / before - 1. */
	readonly change: number;
	/** Probability of such a difference without a change; null for counts, which have no noise. */
	readonly p: number | null;
	readonly changed: boolean;
}

export interface Changes {
	readonly method: string;
	/** Differences that make the two reports hard to compare. */
	readonly warnings: readonly string[];
	/** Rows of both reports; changed rows come first. */
	readonly rows: readonly Change[];
	/** Keys of rows that only one report has. */
	readonly onlyBefore: readonly string[];
	readonly onlyAfter: readonly string[];
	/** Rows that cannot be tested, and the reason. */
	readonly untested: readonly { readonly row: string; readonly reason: string }[];
}

const METHOD =
	`counts: any difference. Times: Welch's t test on the logarithms of what the processes of each report measured (a process is ` +
	`the unit: rounds within one are not independent), two-sided; of all tests, those that Benjamini and Hochberg's procedure ` +
	`believes at a false discovery rate of ${FALSE_DISCOVERY_RATE * 100} %, and that differ by at least ${SMALLEST * 100} %.`;

/** A row of both reports, with the numbers to compare. */
interface Pair {
	readonly row: Row;
	readonly before: readonly number[];
	readonly after: readonly number[];
}

export function compare(before: BenchReport, after: BenchReport): Changes {
	const old = new Map(before.rows.map((row) => [keyOf(row), row]));
	const now = new Map(after.rows.map((row) => [keyOf(row), row]));
	const sameMachine = describe(before) === describe(after);
	const untested: { row: string; reason: string }[] = [];
	const pairs: Pair[] = [];
	for (const [key, row] of now) {
		const other = old.get(key);
		if (other === undefined) continue;
		const pair = sameMachine || row.exact ? { row, before: other.runs, after: row.runs } : relative(row, old, now);
		const reason = typeof pair === "string" ? pair : untestable(pair);
		if (reason === undefined) pairs.push(pair as Pair);
		else untested.push({ row: key, reason });
	}
	const tested = pairs.filter(({ row }) => !row.exact);
	const p = tested.map((pair) => welch(pair.before.map(Math.log), pair.after.map(Math.log)));
	const believed = falseDiscovery(p, FALSE_DISCOVERY_RATE);
	const chance = new Map(tested.map((pair, index) => [pair, { p: p[index]!, believed: believed[index]! }]));
	const rows = pairs.map((pair) => judge(pair, chance.get(pair)));
	return {
		method: METHOD,
		warnings: warnings(before, after, sameMachine, rows),
		rows: rows.sort((a, b) => Number(b.changed) - Number(a.changed)),
		onlyBefore: [...old.keys()].filter((key) => !now.has(key)),
		onlyAfter: [...now.keys()].filter((key) => !old.has(key)),
		untested,
	};
}

function describe({ machine }: BenchReport): string {
	return `${machine.processor}, ${machine.cores} cores, node ${machine.node}`;
}

/** On different machines, a time per call is compared as multiple of an untraced call on the same Cpu there. */
function relative(row: Row, old: ReadonlyMap<string, Row>, now: ReadonlyMap<string, Row>): Pair | string {
	if (row.unit !== "ns/call") return "another machine, and nothing to relate it to";
	const base = keyOf({ ...row, suite: "handler", id: "untraced" });
	const units = [old.get(base), now.get(base)];
	if (units[0] === undefined || units[1] === undefined) return "another machine, and no untraced call to relate it to";
	const [before, after] = [old, now].map((rows, side) =>
		rows.get(keyOf(row))!.runs.map((value) => value / units[side]!.median),
	);
	return { row, before: before!, after: after! };
}

function untestable({ row, before, after }: Pair): string | undefined {
	if (row.exact) return undefined;
	if (before.length < 2 || after.length < 2) return "needs two processes in both reports";
	return [...before, ...after].some((value) => value <= 0) ? "not above zero in every process" : undefined;
}

function judge(pair: Pair, chance: { p: number; believed: boolean } | undefined): Change {
	const { suite, id, what, design, cpu, unit } = pair.row;
	const [before, after] = [median(pair.before), median(pair.after)];
	const change = before === 0 ? after : after / before - 1;
	const changed = chance === undefined ? before !== after : chance.believed && Math.abs(change) >= SMALLEST;
	return { suite, id, what, design, cpu, unit, before, after, change, p: chance?.p ?? null, changed };
}

function warnings(before: BenchReport, after: BenchReport, sameMachine: boolean, rows: readonly Change[]): string[] {
	const out: string[] = [];
	if (!sameMachine) {
		out.push(
			`different machines (${describe(before)}; ${describe(after)}): times per call are compared relative to an untraced call`,
		);
	}
	if (before.smoke || after.smoke) out.push("a report in smoke mode: its times mean nothing");
	const native = rows.find((row) => row.cpu === "hardware" && row.changed);
	if (native !== undefined) {
		const percent = (native.change * 100).toFixed(0);
		out.push(
			`the machine itself changed: '${native.what}' on the bare hardware, which no change of klpemu touches, by ${percent} %`,
		);
	}
	return out;
}
