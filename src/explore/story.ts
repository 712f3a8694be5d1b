import { groupBy } from "../base/index.js";
import { type Broken, type Look, RULES, tuple, viewOf, type WatchedFunction } from "../consistency/index.js";
import { patchStateName } from "../linux/klp/index.js";
import type { Story } from "../report/index.js";
import type { Replayed } from "./replay.js";

interface Group {
	readonly who: string;
	readonly title: string | undefined;
	readonly moves: Replayed[];
}

/** A step of a story: the actor and what it does, then func_stack where it has changed, and which task sees what from then on. */
interface ToldStep {
	readonly text: string;
	readonly effects: readonly string[];
}

/**
 * A schedule as numbered steps, in the words of a mail. What came to its end before the transition that breaks is told in one line
 * each.
 */
export function tellStory(
	replayed: readonly Replayed[],
	functions: readonly WatchedFunction[],
	names: readonly string[],
): string {
	const lines = toldSteps(replayed, functions, names).flatMap(({ text, effects }, index) => [
		`${String(index + 1).padStart(3)}. ${text}`,
		...effects.map((line) => `       ${line}`),
	]);
	for (const { invariant, message } of firstOfEach(replayed.at(-1)?.broken ?? []))
		lines.push("", `${invariant}: ${message}.`, `  ${RULES[invariant]}`);
	return `${lines.join("\n")}\n`;
}

/** The same in parts, for other formats. */
export function storyParts(
	replayed: readonly Replayed[],
	functions: readonly WatchedFunction[],
	names: readonly string[],
): Pick<Story, "steps" | "broken"> {
	const broken = firstOfEach(replayed.at(-1)?.broken ?? []).map(({ invariant, message }) => ({
		invariant,
		message: `${message}. ${RULES[invariant]}`,
	}));
	return { steps: toldSteps(replayed, functions, names), broken };
}

function toldSteps(
	replayed: readonly Replayed[],
	functions: readonly WatchedFunction[],
	names: readonly string[],
): ToldStep[] {
	const begin = lastBeginning(replayed);
	const begun = new Set<string>();
	return groupMoves(replayed).map(({ who, title, moves }) => {
		const [first, end] = [moves[0]!, moves.at(-1)!];
		const early = replayed.indexOf(end) < begin;
		const what = title === undefined ? "" : begun.has(`${who} ${title}`) ? `${title} goes on` : title;
		begun.add(`${who} ${title}`);
		const points = moves.flatMap((move) => [...busyText(move), ...move.told]);
		const told = early && title !== undefined ? what : [what, summary(points)].filter((text) => text !== "").join(": ");
		return {
			text: `${who}${moves.some(({ move }) => move.late) ? " (15th try)" : ""}: ${told || "goes on"}`,
			effects: [
				...changes(first.before.kernel, end.after.kernel, functions),
				...(early ? [] : switches(first, end, names)),
			],
		};
	});
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
		// A look has no func_stack of a function that a livepatch has named only later.
		const [was, is] = [before, after].map(({ stacks }) => (stacks[index] ?? []).join(", "));
		return was === is ? [] : [`func_stack of ${name}: [${is}]`];
	});
}

/** Tasks whose patch_state has changed, and the implementations that they run from then on. */
function switches(first: Replayed, end: Replayed, names: readonly string[]): string[] {
	const changed = names.flatMap((name, slot) => {
		const [was, is] = [first.before.tasks[slot], end.after.tasks[slot]];
		if (!is?.alive || !was) return [];
		const [from, to] = [was.patch_state, is.patch_state];
		if (from === to && sees(first.before.kernel, to) === sees(end.after.kernel, to)) return [];
		const state = from === to ? patchStateName(to) : `${patchStateName(from)} -> ${patchStateName(to)}`;
		return [{ name, line: `${state}, sees ${sees(end.after.kernel, to)}` }];
	});
	return [...groupBy(changed, ({ line }) => line)].map(
		([line, same]) => `${same.map(({ name }) => name).join(", ")}: ${line}`,
	);
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
