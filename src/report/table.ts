import type { Cell, TaskChange, Tone } from "./diff.js";
import type { Paint, Role } from "./style.js";
import { wrap } from "./style.js";

const GAP = "  ";
/** Longest list of tasks at the left, in columns: usually, and where space is short. */
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
	let text = parts.join(", ");
	for (let shown = parts.length - 1; text.length > limit && shown > 0; shown--) {
		text = `${parts.slice(0, shown).join(", ")}, +${parts.length - shown}`;
	}
	return text;
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

/** Tasks to which exactly the same happened share a row. */
function rowsOf(changes: readonly TaskChange[], limit: number): Row[] {
	const groups = new Map<string, TaskChange[]>();
	for (const change of changes) {
		const key = JSON.stringify([change.state, change.views, change.why]);
		groups.set(key, [...(groups.get(key) ?? []), change]);
	}
	return [...groups.values()].map((group) => {
		const { state, views, why, tone } = group[0]!;
		const names = group.map(({ task }) => task);
		return { label: joinNames(names, limit), state, views, why, tone };
	});
}

function cellText({ from, to, violated }: Cell): string {
	// A violation without a change is still marked: the value itself is wrong.
	const text = from === to || from === "-" ? to : `${from}→${to}`;
	return violated ? `${text} ✗` : text;
}

function cellRole({ from, to, violated }: Cell): Role {
	if (violated) return "bad";
	return from === to ? "dim" : "change";
}

function widest(texts: readonly string[]): number {
	return Math.max(0, ...texts.map((text) => text.length));
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

/**
 * The table task x function of one step: what each task would run, `old→new` where that changed, ✗ where it must not have,
 * and below each row why. Functions that do not fit into `width` continue in a further block.
 */
export function taskTable(
	changes: readonly TaskChange[],
	functions: readonly string[],
	options: { readonly width: number; readonly paint: Paint },
): string[] {
	const { width, paint } = options;
	let rows = rowsOf(changes, LABEL_LIMIT);
	let labelWidth = Math.max("task".length, widest(rows.map((row) => row.label)));
	const columns = functions.map((func, column) => widest([func, ...rows.map((row) => cellText(row.views[column]!))]));
	const all = columns.reduce((sum, column) => sum + GAP.length + column, 0);
	let states = rows.map((row) => cellText(row.state));
	const tooWide = () => labelWidth + GAP.length + widest(["patch_state", ...states]) + all > width;
	// Where space is short, the state before is the first thing that a reader can do without, then the full list of tasks.
	if (tooWide()) states = rows.map((row) => row.state.to);
	if (tooWide()) {
		rows = rowsOf(changes, SHORT_LABEL_LIMIT);
		labelWidth = Math.max("task".length, widest(rows.map((row) => row.label)));
	}
	const stateWidth = widest(["patch_state", ...states]);
	const left = labelWidth + GAP.length + stateWidth;
	const lines: string[] = [];
	const blocks = blocksOf(columns, width - left);
	for (const [number, block] of blocks.entries()) {
		const heads = ["task".padEnd(labelWidth), "patch_state".padEnd(stateWidth)];
		for (const column of block) heads.push(functions[column]!.padEnd(columns[column]!));
		lines.push(paint("dim", heads.join(GAP).trimEnd()));
		for (const [index, row] of rows.entries()) {
			const cells = [
				paint("heading", row.label) + " ".repeat(labelWidth - row.label.length),
				paint(cellRole(row.state), states[index]!) + " ".repeat(stateWidth - states[index]!.length),
			];
			for (const column of block) {
				const text = cellText(row.views[column]!);
				cells.push(paint(cellRole(row.views[column]!), text) + " ".repeat(columns[column]! - text.length));
			}
			lines.push(cells.join(GAP).trimEnd());
			if (number === blocks.length - 1 && row.why !== undefined) lines.push(...whyLines(row, width, paint));
		}
	}
	return lines;
}

function whyLines(row: Row, width: number, paint: Paint): string[] {
	const role: Role = row.tone === "plain" ? "dim" : row.tone;
	return wrap(row.why!, width - 4).map((line, index) => paint(role, `${index === 0 ? "  └ " : "    "}${line}`));
}
