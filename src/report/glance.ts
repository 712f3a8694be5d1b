import { groupBy } from "../base/index.js";
import type { Paint, Role } from "./style.js";
import { joinNames } from "./table.js";
import type { Report, ReportStep } from "./types.js";

/** The mark of a task after a step, by its patch_state. */
const MARKS: Readonly<Record<ReportStep["tasks"][string]["patch_state"], string>> = {
	IDLE: "·",
	UNPATCHED: "u",
	PATCHED: "P",
};
const BROKEN = "✗";
const ROLES: ReadonlyMap<string, Role> = new Map([
	["·", "dim"],
	["u", "wait"],
	["P", "good"],
	[BROKEN, "bad"],
]);
const LEGEND = "· IDLE  u UNPATCHED  P PATCHED  ✗ breaks an invariant";
/** Columns of the names of tasks, at most. */
const MAX_NAMES = 24;
/** Columns between two numbers of the ruler. */
const RULER = 5;

/** A step that acts: `expect` and titles have no column. */
const acts = ({ action }: ReportStep): boolean => !/^(expect|state|test)\b/.test(action);

/**
 * All transitions at a glance: a lane for each task, one character for each step. Equal lanes are joined. Empty if no transition
 * has run. `width`: columns.
 */
export function glance(report: Report, width: number, paint: Paint): string[] {
	const steps = report.steps.filter(acts);
	const lanes = lanesOf(report, steps);
	if (![...lanes.keys()].some((lane) => /[uP]/.test(lane))) return [];
	const names = [...lanes.values()].map((tasks) => joinNames(tasks, MAX_NAMES));
	const left = Math.max("step".length, ...names.map((name) => name.length)) + 4;
	const room = width - left;
	const lines: string[] = [];
	for (let at = 0; at < steps.length; at += room) {
		lines.push(paint("dim", `  ${"step".padEnd(left - 2)}${ruler(steps.slice(at, at + room))}`.trimEnd()));
		for (const [index, lane] of [...lanes.keys()].entries()) {
			lines.push(`  ${names[index]!.padEnd(left - 2)}${painted(lane.slice(at, at + room), paint)}`);
		}
	}
	return [...lines, paint("dim", `  ${LEGEND}`), ""];
}

/** Lane -> the tasks that have it, in the order of the report. */
function lanesOf(report: Report, steps: readonly ReportStep[]): Map<string, string[]> {
	const names = new Set(report.steps.flatMap(({ tasks }) => Object.keys(tasks)));
	const broken = new Set(report.violations.map(({ step, task }) => `${step} ${task}`));
	return groupBy(names, (name) => {
		const lane = steps.map(({ index, tasks }) => {
			const task = tasks[name];
			return broken.has(`${index} ${name}`) ? BROKEN : task === undefined ? " " : MARKS[task.patch_state];
		});
		return lane.join("");
	});
}

/** The number of a step above its column, if there is room for it. */
function ruler(steps: readonly ReportStep[]): string {
	let line = "";
	for (const [column, { index }] of steps.entries()) {
		if (column % RULER === 0) line = line.padEnd(column) + index;
	}
	return line;
}

/** Equal marks that follow each other get one colour. */
function painted(lane: string, paint: Paint): string {
	return lane.replace(/(.)\1*/gu, (run, mark: string) => {
		const role = ROLES.get(mark);
		return role === undefined ? run : paint(role, run);
	});
}
