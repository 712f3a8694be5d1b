/** Makes one report of the results of the processes: rows, fits, comparisons with reality, warnings. */
import { readFile } from "node:fs/promises";
import {
	type Absent,
	type BenchReport,
	type Comparison,
	describeMachine,
	exponent,
	type Fit,
	KERNEL,
	type Measured,
	median,
	type Part,
	type Reference,
	type Row,
	type RowKey,
	spread,
	versions,
} from "./common/index.js";
import { curves } from "./suites/index.js";

/** Largest spread between processes, and within one, of a reliable time. */
const MAX_SPREAD = 0.25;
/** If time per processor time is above this, other processes have disturbed the measurement. */
const MAX_CROWDING = 1.15;
/** With fewer processes than this, the spread between processes is not known. */
const MIN_PROCESSES = 3;

export function keyOf({ suite, id, design, cpu, unit }: RowKey): string {
	return `${suite} ${id} ${design} ${cpu} ${unit}`;
}

export interface Collected {
	readonly parts: readonly Part[];
	readonly smoke: boolean;
	readonly processes: number;
	readonly date: string;
	readonly warnings: readonly string[];
}

export async function collect({ parts, smoke, processes, date, warnings }: Collected): Promise<BenchReport> {
	const rows = mergeRows(parts, !smoke);
	const absent = new Map<string, Absent>();
	for (const part of parts) for (const each of part.absent) absent.set(keyOf(each), each);
	const general = [...warnings];
	if (smoke) general.unshift("smoke mode: only shows that everything runs; no time here means anything");
	else if (processes < MIN_PROCESSES) general.unshift(`only ${processes} process(es): spread is not known`);
	return {
		schema: 1,
		date,
		smoke,
		processes,
		machine: describeMachine(),
		versions: await versions(),
		warnings: general,
		rows,
		absent: [...absent.values()],
		fits: fits(rows, smoke),
		comparisons: (await references()).map((reference) => compareWith(reference, rows)),
	};
}

/**
 * One row from all the processes that measured it. Throws if an exact value is not the same in all. `judge`: with
 * warnings.
 */
export function mergeRows(parts: readonly Part[], judge: boolean): Row[] {
	const all = new Map<string, Measured[]>();
	for (const part of parts) {
		for (const row of part.rows) {
			const same = all.get(keyOf(row));
			if (same === undefined) all.set(keyOf(row), [row]);
			else same.push(row);
		}
	}
	return [...all.values()].map((measured) => {
		const [{ suite, id, what, design, cpu, unit, exact }] = measured as [Measured];
		const runs = measured.map(({ value }) => value);
		if (exact && runs.some((value) => value !== runs[0])) {
			throw new Error(`${suite} ${id} (${design}, ${cpu}) is said to be exact, but is ${runs.join(" ")} ${unit}`);
		}
		const row = { suite, id, what, design, cpu, unit, exact, runs, median: median(runs) };
		const { min, max } = { min: Math.min(...runs), max: Math.max(...runs) };
		return {
			...row,
			min,
			max,
			spread: exact ? 0 : spread(runs),
			warnings: exact || !judge ? [] : warningsOf(measured),
		};
	});
}

function warningsOf(measured: readonly Measured[]): string[] {
	const out: string[] = [];
	const values = measured.map(({ value }) => value);
	const percent = (part: number) => `${Math.round(part * 100)} %`;
	const between = spread(values);
	if (values.length > 1 && Math.abs(between) > MAX_SPREAD)
		out.push(`processes differ by ${percent(Math.abs(between))}`);
	const within = median(measured.map((row) => row.within ?? 0));
	if (within > MAX_SPREAD) out.push(`samples of one process differ by ${percent(within)}`);
	const crowding = median(measured.map((row) => row.crowding ?? 0));
	if (crowding > MAX_CROWDING)
		out.push(`other processes had the processor for ${percent(1 - 1 / crowding)} of the time`);
	if (median(values) <= 0) out.push("not above zero: smaller than what is taken off");
	return out;
}

/** Exponents of the curves: from the points whose x is at least a hundredth of the largest, two at the least. */
function fits(rows: readonly Row[], smoke: boolean): Fit[] {
	const out: Fit[] = [];
	for (const { id, what, x, points } of curves(smoke)) {
		if (points.length < 2) continue;
		for (const unit of ["ms", "points"] as const) {
			const mine = rows.filter((row) => row.suite === "transitions" && row.unit === unit);
			const systems = new Set(mine.map(({ design, cpu }) => `${design} ${cpu}`));
			for (const system of systems) {
				const [design, cpu] = system.split(" ") as [string, string];
				const at = (value: number) =>
					mine.find((row) => row.id === `${id}/${value}` && row.design === design && row.cpu === cpu)!.median;
				const curve = points.map((point) => [point[x], at(point[x])] as const);
				const largest = Math.max(...curve.map(([value]) => value));
				const upper = curve.filter(([value]) => value >= largest / 100);
				const line = exponent(upper);
				const from = upper[0]![0];
				out.push({ curve: id, what, x, design, cpu, unit, points: curve, from, exponent: line.slope, r2: line.r2 });
			}
		}
	}
	return out;
}

async function references(): Promise<readonly Reference[]> {
	const text = await readFile(new URL("reference.json", import.meta.url), "utf8");
	return (JSON.parse(text) as { entries: Reference[] }).entries;
}

/** A reference with the corresponding row of this report. */
export function compareWith(reference: Reference, rows: readonly Row[]): Comparison {
	const { kind, row, cpu = "jit", value, relativeTo } = reference;
	const unit = kind === "time" ? "ns/call" : "insns/call";
	const ours = (id: string, on: string, design: string) =>
		rows.find(
			(each) =>
				each.suite === "handler" &&
				each.id === id &&
				each.cpu === on &&
				each.unit === unit &&
				[design, "-"].includes(each.design),
		)?.median;
	const relate = (a: number, b: number) => (kind === "time" ? a / b : a - b);
	const under = (design: string) => {
		const mine = ours(row, cpu, design);
		const base = ours(relativeTo.row, relativeTo.cpu ?? cpu, design);
		return mine === undefined || base === undefined ? null : relate(mine, base);
	};
	return {
		...reference,
		theirs: relate(value, relativeTo.value),
		ours: under("mainline"),
		oursRaw: ours(row, cpu, "mainline") ?? null,
		kernel: under(KERNEL),
	};
}
