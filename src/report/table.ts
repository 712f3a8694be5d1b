import { groupBy } from "../base/index.js";
import type { Cell, TaskChange, Tone } from "./diff.js";
import type { Paint, Role } from "./style.js";
import { wrap } from "./style.js";

const GAP = "  ";
/** Longest list of tasks at the left, in columns: normally, and if space is short. */
const LABEL_LIMIT = 26;
const SHORT_LABEL_LIMIT = 14;

interface Row {
	readonly label: string;
	readonly state: Cell;
	readonly views: readonly Cell[];
	readonly why: string | undefined;
	readonly tone: Tone;
}

/** `worker/0`, `worker/1`, `kwork` -> `worker/0-1, kwork`. */
export function joinNames(names: readonly string[], limit = Number.POSITIVE_INFINITY): string {
	const groups = new Map<string, number[]>();
	for (const name of names) {
		const [, base, number] = /^(.*)\/(\d+)$/.exec(name) ?? [undefined, name, undefined];
		const numbers = groups.get(base!) ?? [];
		if (number !== undefined) numbers.push(Number(number));
		groups.set(base!, numbers);
	}
	const parts = [...groups].map(([base, numbers]) => (numbers.length === 0 ? base : `${base}/${ranges(numbers)}`));
	const text = parts.join(", ");
	if (text.length <= limit) return text;
	// The longest beginning that fits, with the number of the others.
	let [shown, length] = [1, parts[0]!.length];
	const most = (count: number) => limit - `, +${parts.length - count}`.length;
	for (; shown < parts.length - 1; shown++) {
		length += `, ${parts[shown]}`.length;
		if (length > most(shown + 1)) break;
	}
	return shown === parts.length ? text : `${parts.slice(0, shown).join(", ")}, +${parts.length - shown}`;
}

function ranges(numbers: readonly number[]): string {
	const parts: { from: number; to: number }[] = [];
	for (const number of [...numbers].sort((a, b) => a - b)) {
		const last = parts.at(-1);
		if (last !== undefined && number === last.to + 1) last.to = number;
		else parts.push({ from: number, to: number });
	}
	return parts.map(({ from, to }) => (from === to ? String(from) : `${from}-${to}`)).join(",");
}

/** Tasks with exactly the same changes share a row. */
function rowsOf(changes: readonly TaskChange[], limit: number): Row[] {
	const groups = groupBy(changes, ({ state, views, why }) => JSON.stringify([state, views, why]));
	return [...groups.values()].map((group) => {
		const { state, views, why, tone } = group[0]!;
		const names = group.map(({ task }) => task);
		return { label: joinNames(names, limit), state, views, why, tone };
	});
}

function cellText({ from, to, violated }: Cell): string {
	// A violation without a change is marked too: the value itself is wrong.
	const text = from === to || from === "-" ? to : `${from}→${to}`;
	return violated ? `${text} ✗` : text;
}

function cellRole({ from, to, violated }: Cell): Role {
	if (violated) return "bad";
	return from === to ? "dim" : "change";
}

function widest(texts: readonly string[]): number {
	return texts.reduce((most, text) => Math.max(most, text.length), 0);
}

/** Columns in blocks that fit beside the label and the state. At least one column goes into each. */
function blocksOf(widths: readonly number[], available: number): number[][] {
	const blocks: number[][] = [];
	let used = 0;
	for (const [column, width] of widths.entries()) {
		const block = blocks.at(-1);
		const more = GAP.length + width;
		if (block === undefined || used + more > available) {
			blocks.push([column]);
			used = more;
		} else {
			block.push(column);
			used += more;
		}
	}
	return blocks.length === 0 ? [[]] : blocks;
}

/** The changes in a column, row by row, without the names of the implementations. */
function patternOf(cells: readonly Cell[]): string {
	const side = (name: string) => (/^(original|absent|-)$/.test(name) ? name : "patched");
	return cells.map(({ from, to, violated }) => `${side(from)} ${side(to)} ${from === to} ${violated}`).join();
}

/** If there are more functions than this, the functions without a change share a line. */
const ALL_QUIET = 8;
/** If more functions than this change in the same way, only the first ones get a column. */
const ALL_OF_A_KIND = 40;
const SOME_OF_A_KIND = 2;

interface Columns {
	readonly shown: readonly number[];
	/** One sentence for each kind of functions of which not all have a column. */
	readonly notes: readonly string[];
}

function isQuiet({ from, to, violated }: Cell): boolean {
	return from === to && !violated;
}

/** Chooses the functions that get a column. */
function columnsOf(rows: readonly Row[], functions: readonly string[]): Columns {
	const kinds = groupBy(functions.keys(), (column) => patternOf(rows.map((row) => row.views[column]!)));
	const shown: number[] = [];
	const notes: string[] = [];
	const quietOnly = rows.every((row) => row.views.every(isQuiet));
	for (const columns of kinds.values()) {
		const quiet = rows.every((row) => isQuiet(row.views[columns[0]!]!));
		const limit = quiet && functions.length > ALL_QUIET ? 0 : ALL_OF_A_KIND;
		const some = columns.length <= limit ? columns : columns.slice(0, quiet && !quietOnly ? 0 : SOME_OF_A_KIND);
		for (const column of some) shown.push(column);
		const rest = columns.slice(some.length).map((column) => functions[column]!);
		const what = quiet && !quietOnly ? "unchanged" : "likewise";
		if (rest.length > 0) notes.push(`${rest.length} functions ${what}: ${namesOf(rest)}`);
	}
	return { shown: shown.sort((one, other) => one - other), notes };
}

/** The first and the last of many names. */
export function namesOf(names: readonly string[]): string {
	return names.length <= 4 ? names.join(", ") : `${names.slice(0, 2).join(", ")}, ..., ${names.at(-1)}`;
}

/**
 * The table task x function of one step: the implementation that each task would run, `old→new` for a change, ✗ for a
 * wrong one, and the reason below each row. Functions that do not fit into `width` continue in a further block; of many
 * functions with the same changes, only the first ones are shown.
 */
export function taskTable(
	changes: readonly TaskChange[],
	functions: readonly string[],
	options: { readonly width: number; readonly paint: Paint },
): string[] {
	const { width, paint } = options;
	let rows = rowsOf(changes, LABEL_LIMIT);
	const { shown, notes } = columnsOf(rows, functions);
	const widthOf = (column: number) => widest([functions[column]!, ...rows.map((row) => cellText(row.views[column]!))]);
	const columns = new Map(shown.map((column) => [column, widthOf(column)]));
	const states = rows.map((row) => cellText(row.state));
	const stateWidth = widest(["patch_state", ...states]);
	const all = [...columns.values()].reduce((sum, column) => sum + GAP.length + column, 0);
	const label = () => Math.max("task".length, widest(rows.map((row) => row.label)));
	// If space is short, the list of tasks is shortened first.
	if (label() + GAP.length + stateWidth + all > width) rows = rowsOf(changes, SHORT_LABEL_LIMIT);
	const labelWidth = label();
	const lines: string[] = [];
	const blocks = blocksOf([...columns.values()], width - labelWidth - GAP.length - stateWidth);
	for (const [number, block] of blocks.entries()) {
		const heads = ["task".padEnd(labelWidth), "patch_state".padEnd(stateWidth)];
		for (const index of block) heads.push(functions[shown[index]!]!.padEnd(columns.get(shown[index]!)!));
		lines.push(paint("dim", heads.join(GAP).trimEnd()));
		for (const [index, row] of rows.entries()) {
			const cells = [
				paint("heading", row.label) + " ".repeat(labelWidth - row.label.length),
				paint(cellRole(row.state), states[index]!) + " ".repeat(stateWidth - states[index]!.length),
			];
			for (const column of block.map((place) => shown[place]!)) {
				const text = cellText(row.views[column]!);
				cells.push(paint(cellRole(row.views[column]!), text) + " ".repeat(columns.get(column)! - text.length));
			}
			lines.push(cells.join(GAP).trimEnd());
			if (number === blocks.length - 1 && row.why !== undefined)
				for (const line of whyLines(row, width, paint)) lines.push(line);
		}
	}
	for (const note of notes) for (const line of wrap(note, width)) lines.push(paint("dim", line));
	return lines;
}

function whyLines(row: Row, width: number, paint: Paint): string[] {
	const role: Role = row.tone === "plain" ? "dim" : row.tone;
	return wrap(row.why!, width - 4).map((line, index) => paint(role, `${index === 0 ? "  └ " : "    "}${line}`));
}
