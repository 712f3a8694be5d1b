import { type Broken, type Look, RULES, tuple, viewOf, type WatchedFunction } from "../consistency/index.js";
import { patchStateName } from "../linux/klp/index.js";
import type { Replayed } from "./replay.js";

interface Group {
	readonly who: string;
	readonly title: string | undefined;
	readonly moves: Replayed[];
}

/**
 * A schedule as numbered steps, in the words of a mail: the actor and its step, func_stack after it where it has changed,
 * and which task sees what
 * from then on. What came to its end before the transition that breaks is told in one line each.
 */
export function tellStory(
	replayed: readonly Replayed[],
	functions: readonly WatchedFunction[],
	names: readonly string[],
): string {
	const groups = groupMoves(replayed);
	const last = replayed.at(-1);
	const begin = lastBeginning(replayed);
	const lines: string[] = [];
	let number = 1;
	const begun = new Set<string>();
	for (const { who, title, moves } of groups) {
		const [first, end] = [moves[0]!, moves.at(-1)!];
		const early = replayed.indexOf(end) < begin;
		const what = title === undefined ? "" : begun.has(`${who} ${title}`) ? `${title} goes on` : title;
		begun.add(`${who} ${title}`);
		const points = moves.flatMap((move) => [...busyText(move), ...move.told]);
		const told = early && title !== undefined ? what : [what, summary(points)].filter((text) => text !== "").join(": ");
		lines.push(
			`${String(number++).padStart(3)}. ${who}${moves.some(({ move }) => move.late) ? " (15th try)" : ""}: ${told || "goes on"}`,
		);
		lines.push(...changes(first.before.kernel, end.after.kernel, functions).map((line) => `       ${line}`));
		if (!early) lines.push(...switches(first, end, names).map((line) => `       ${line}`));
	}
	for (const { invariant, message } of firstOfEach(last?.broken ?? []))
		lines.push("", `${invariant}: ${message}.`, `  ${RULES[invariant]}`);
	return `${lines.join("\n")}\n`;
}

/** Consecutive moves of one actor within one of its steps, or of one task. */
function groupMoves(replayed: readonly Replayed[]): Group[] {
	const groups: Group[] = [];
	for (const one of replayed) {
		const last = groups.at(-1);
		if (last !== undefined && last.who === one.move.who && last.title === one.title) last.moves.push(one);
		else groups.push({ who: one.move.who, title: one.title, moves: [one] });
	}
	return groups;
}

/** Index of the move with which the last transition begins. */
function lastBeginning(replayed: readonly Replayed[]): number {
	const at = replayed.findLastIndex(({ before, after }) => {
		return before.kernel.inTransition === undefined && after.kernel.inTransition !== undefined;
	});
	return Math.max(at, 0);
}

function busyText({ move }: Replayed): string[] {
	if (move.busy.length === 0) return [];
	return [`(${[...new Set(move.busy.map(({ task }) => task))].join(", ")} on a CPU meanwhile)`];
}

/** The points, each once in a row. */
function summary(points: readonly string[]): string {
	const runs: string[] = [];
	let count = 1;
	for (const [index, point] of points.entries()) {
		if (points[index + 1] === point) count++;
		else {
			runs.push(count > 1 ? `${point} (${count} times)` : point);
			count = 1;
		}
	}
	return runs.join("; ");
}

function changes(before: Look, after: Look, functions: readonly WatchedFunction[]): string[] {
	return functions.flatMap(({ name }, index) => {
		const [was, is] = [before.stacks[index]!.join(", "), after.stacks[index]!.join(", ")];
		return was === is ? [] : [`func_stack of ${name}: [${is}]`];
	});
}

/** Tasks whose patch_state has changed, and the implementations that they run from then on. */
function switches(first: Replayed, end: Replayed, names: readonly string[]): string[] {
	const lines = new Map<string, string[]>();
	for (const [slot, name] of names.entries()) {
		const [was, is] = [first.before.tasks[slot], end.after.tasks[slot]];
		if (!is?.alive || !was) continue;
		const [from, to] = [was.fields.patch_state, is.fields.patch_state] as [number | undefined, number];
		if (from === to && sees(first.before.kernel, to) === sees(end.after.kernel, to)) continue;
		const state =
			from === to || from === undefined ? patchStateName(to) : `${patchStateName(from)} -> ${patchStateName(to)}`;
		const line = `${state}, sees ${sees(end.after.kernel, to)}`;
		lines.set(line, [...(lines.get(line) ?? []), name]);
	}
	return [...lines].map(([line, who]) => `${who.join(", ")}: ${line}`);
}

function sees(kernel: Look, patch_state: number): string {
	return tuple(viewOf(kernel, patch_state));
}

/** For each task, its first violation of each invariant: a task may break one for several functions at once. */
function firstOfEach(broken: readonly Broken[]): readonly Broken[] {
	const first = new Map<string, Broken>();
	for (const one of broken) {
		const key = `${one.invariant} ${one.task}`;
		if (!first.has(key)) first.set(key, one);
	}
	return [...first.values()];
}
