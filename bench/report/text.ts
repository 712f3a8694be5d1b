/** The report for a terminal. */
import type { BenchReport } from "../common/index.js";
import type { Change, Changes } from "../compare.js";
import { digits, percent } from "./format.js";
import { type Section, sections, type Table } from "./sections.js";

const WIDTH = 120;

export function renderText(report: BenchReport): string {
	const { machine, versions, warnings, processes, date } = report;
	const lines = [
		`${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}`,
		Object.entries(versions)
			.map(([name, version]) => `${name} ${version}`)
			.join(", "),
		`${date}, each number from ${processes} process${processes === 1 ? "" : "es"}`,
		...warnings.map((warning) => `WARNING: ${warning}`),
		...sections(report).flatMap(renderSection),
	];
	return lines.join("\n");
}

function renderSection({ title, text, tables }: Section): string[] {
	const shown = tables.filter(({ rows }) => rows.length > 0);
	return ["", title.toUpperCase(), ...wrap(text), ...shown.flatMap(renderTable)];
}

/** Long headings have several lines, so that a table of nine designs fits. */
export function renderTable({ title, columns, rows, notes = [] }: Table): string[] {
	// A column of words is aligned left, one of numbers (or of the word exact) right.
	const isWord = (cell: string) => /^[a-z]/i.test(cell) && cell !== "exact";
	const isText = columns.map((_, column) => column === 0 || rows.some((row) => isWord(row[column]!)));
	const headings = columns.map((column, index) => (isText[index] ? [column] : breakHeading(column)));
	const height = Math.max(...headings.map(({ length }) => length));
	const head = Array.from({ length: height }, (_, line) =>
		headings.map((lines) => lines[line - height + lines.length] ?? ""),
	);
	const cells = [...head, ...rows];
	const widths = columns.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
	const line = (row: readonly string[]) =>
		`  ${row.map((cell, i) => (isText[i] ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ")}`.trimEnd();
	return ["", title, ...cells.map(line), ...notes.flatMap((note) => wrap(note).map((text) => `  ${text}`))];
}

/** Into lines of at most 12 letters, at spaces and hyphens. */
function breakHeading(text: string): string[] {
	const lines: string[] = [""];
	for (const word of text.split(/(?<=[- ])/)) {
		if (lines.at(-1) !== "" && (lines.at(-1)! + word).trimEnd().length > 12) lines.push("");
		lines[lines.length - 1] += word;
	}
	return lines.map((line) => line.trimEnd());
}

function wrap(text: string): string[] {
	const lines: string[] = [];
	let line = "";
	for (const word of text.split(" ")) {
		if (line !== "" && line.length + word.length >= WIDTH) {
			lines.push(line);
			line = word;
		} else line = line === "" ? word : `${line} ${word}`;
	}
	return line === "" ? lines : [...lines, line];
}

export function changeTable(rows: readonly Change[]): Table {
	return {
		title: rows.length === 0 ? "Nothing changed beyond noise." : "changed beyond noise",
		columns: ["row", "design", "Cpu", "unit", "before", "after", "change", "p"],
		rows: rows.map((row) => [
			`${row.suite}: ${row.what}`,
			row.design,
			row.cpu,
			row.unit,
			digits(row.before),
			digits(row.after),
			percent(1 + row.change),
			row.p === null ? "exact" : row.p.toExponential(0),
		]),
	};
}

export function renderComparison({ method, warnings, rows, onlyBefore, onlyAfter, untested }: Changes): string {
	const changed = rows.filter((row) => row.changed);
	return [
		"",
		"COMPARED WITH THE OLDER REPORT",
		...wrap(`Method: ${method}`),
		...warnings.map((warning) => `WARNING: ${warning}`),
		...(changed.length > 0 ? renderTable(changeTable(changed)) : ["", "Nothing changed beyond noise."]),
		"",
		`${changed.length} of ${rows.length} rows changed; ${untested.length} could not be tested, ` +
			`${onlyBefore.length} are only in the older report, ${onlyAfter.length} only in the newer one.`,
		...untested.map(({ row, reason }) => `  not tested: ${row}: ${reason}`),
		...onlyBefore.map((row) => `  only before: ${row}`),
		...onlyAfter.map((row) => `  only after: ${row}`),
	].join("\n");
}
