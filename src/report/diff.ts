/** The changes of a step, with their causes, as data: the text report prints it, the web page can draw it. */
import type { Invariant } from "../consistency/index.js";
import type { Report, ReportStep, ReportTask, ReportViolation } from "./types.js";

/** One value before and after. Equal: it did not change. */
export interface Cell {
	readonly from: string;
	readonly to: string;
	/** A violation of the step names exactly this task and function. */
	readonly violated: boolean;
}

/** `good`: as it should be; `wait`: the task cannot switch yet; `bad`: an invariant is broken. */
export type Tone = "plain" | "good" | "wait" | "bad";

export interface TaskChange {
	readonly task: string;
	readonly state: Cell;
	readonly in: Cell;
	/** In the order of the columns. */
	readonly views: readonly Cell[];
	readonly why: string | undefined;
	readonly tone: Tone;
}

/** A func_stack before and after. */
export interface StackChange {
	readonly func: string;
	readonly from: readonly string[];
	readonly to: readonly string[];
}

export interface StepChange {
	readonly step: ReportStep;
	readonly violations: readonly ReportViolation[];
	/** Tasks that the step changed. */
	readonly changed: readonly TaskChange[];
	/** Tasks that the step did not change. */
	readonly unchanged: readonly string[];
	readonly sysfs: readonly {
		readonly path: string;
		readonly from: number | string | undefined;
		readonly to: number | string | undefined;
	}[];
	readonly stacks: readonly StackChange[];
	/** Refcounts; undefined: the module is not loaded. */
	readonly modules: readonly {
		readonly name: string;
		readonly from: number | undefined;
		readonly to: number | undefined;
	}[];
}

/**
 * The functions that get a column: those for which a task runs, at some moment, another implementation than the
 * original.
 */
export function patchedFunctions(report: Report): string[] {
	const functions = new Set<string>();
	for (const { tasks, func_stacks } of report.steps) {
		for (const func of Object.keys(func_stacks)) functions.add(func);
		for (const { view } of Object.values(tasks)) {
			for (const [func, impl] of Object.entries(view)) if (!/^(original|absent)$/.test(impl)) functions.add(func);
		}
	}
	return [...functions].sort();
}

/** Compares each step with the one before it. Before the first step, no function is patched and there is no task. */
export function changes(report: Report, functions: readonly string[]): StepChange[] {
	return report.steps.map((step, position) => {
		const before = report.steps[position - 1];
		const violations = report.violations.filter((violation) => violation.step === step.index);
		const names = [...new Set([...Object.keys(before?.tasks ?? {}), ...Object.keys(step.tasks)])];
		const rows = names.map((task) => {
			const was = before?.tasks[task];
			const change = taskChange(task, was, step.tasks[task], functions, violations, before === undefined);
			return { ...change, ...reason(change, violations, step) };
		});
		return {
			step,
			violations,
			changed: rows.filter(hasChanged),
			unchanged: rows.filter((row) => !hasChanged(row)).map((row) => row.task),
			sysfs: sysfsChanges(before, step),
			stacks: stackChanges(before, step),
			modules: moduleChanges(before, step),
		};
	});
}

function hasChanged(row: TaskChange): boolean {
	// A violation may name a function that has no column.
	return row.tone === "bad" || [row.state, row.in, ...row.views].some((cell) => cell.from !== cell.to || cell.violated);
}

/** `unwatched`: the implementation that it runs if no livepatch has named the function yet. */
function viewOf(task: ReportTask | undefined, func: string, unwatched = "original"): string {
	return task === undefined ? "-" : (task.view[func] ?? unwatched);
}

function taskChange(
	task: string,
	was: ReportTask | undefined,
	is: ReportTask | undefined,
	functions: readonly string[],
	violations: readonly ReportViolation[],
	first: boolean,
): Facts {
	const mine = violations.filter((violation) => violation.task === task);
	const views = functions.map((func) => ({
		// A task of the first step existed before; it was only not recorded.
		from:
			was === undefined && first ? "original" : viewOf(was, func, is?.view[func] === "absent" ? "absent" : "original"),
		to: viewOf(is, func),
		violated: mine.some((violation) => violation.func === func),
	}));
	const from = was?.patch_state ?? (first ? "IDLE" : "-");
	return {
		task,
		state: { from, to: is?.patch_state ?? "-", violated: false },
		in: { from: was?.in ?? "-", to: is?.in ?? "-", violated: false },
		views,
	};
}

type Facts = Pick<TaskChange, "task" | "state" | "in" | "views">;

function reason(
	{ task, state, in: where, views }: Facts,
	violations: readonly ReportViolation[],
	step: ReportStep,
): Pick<TaskChange, "why" | "tone"> {
	const mine = violations.filter((violation) => violation.task === task);
	const is = step.tasks[task];
	const observed = step.switched?.includes(task);
	if (mine.length > 0) return { why: [...new Set(mine.map(describeViolation))].join("; "), tone: "bad" };
	if (state.to === "-") return { why: "exited", tone: "plain" };
	if (state.from === "-") return { why: "forked", tone: "plain" };
	const moved = views.some((cell) => cell.from !== cell.to);
	const switched = observed ?? (moved || state.from !== state.to);
	if (is?.pending && where.to !== "-") return { why: `cannot switch yet: ${where.to} is on its stack`, tone: "wait" };
	if (is?.pending) return { why: "has yet to switch", tone: "wait" };
	if (state.from !== state.to && state.to === "IDLE") {
		// The last task to switch ends the transition, so both fall into one step for it.
		const both = observed ?? moved;
		return { why: both ? "switched; the transition is complete" : "the transition is complete", tone: "good" };
	}
	if (switched) return { why: moved ? "switched" : "switched; nothing changes for it", tone: "good" };
	if (moved) return { why: "a module came or went; the task did not switch", tone: "plain" };
	if (where.from !== where.to) {
		return { why: where.to === "-" ? `left ${where.from}` : `is inside ${where.to}`, tone: "plain" };
	}
	return { why: undefined, tone: "plain" };
}

function describeViolation({ invariant, func, from, to }: ReportViolation): string {
	// The judge names the function and its implementations wherever the sentence does.
	const sentences: Readonly<Record<Invariant, string>> = {
		"sudden-change": `${func} becomes ${to} though the task did not switch`,
		"mixed-universe": "neither what was before the transition, nor what comes after it",
		"switched-on-stack": `it left ${from} behind, which is still on its stack`,
		"freed-text": `it runs into ${from ?? "text"} that is freed`,
		"use-after-free": "the kernel reads what has been freed",
		stuck: "the transition never ends",
		deadlock: "kernel code waits for ever",
		"lost-patch": `${func} is ${to}, the design promises ${from}`,
		warn: "the kernel would print a WARNING or an Oops",
	};
	return `${invariant}: ${sentences[invariant]}`;
}

function sysfsChanges(before: ReportStep | undefined, step: ReportStep): StepChange["sysfs"] {
	const paths = new Set([...Object.keys(before?.sysfs ?? {}), ...Object.keys(step.sysfs)]);
	return [...paths]
		.map((path) => ({ path, from: before?.sysfs[path], to: step.sysfs[path] }))
		.filter(({ from, to }) => from !== to);
}

function stackChanges(before: ReportStep | undefined, step: ReportStep): StepChange["stacks"] {
	const functions = new Set([...Object.keys(before?.func_stacks ?? {}), ...Object.keys(step.func_stacks)]);
	return [...functions]
		.sort()
		.map((func) => ({ func, from: before?.func_stacks[func] ?? [], to: step.func_stacks[func] ?? [] }))
		.filter(({ from, to }) => from.join() !== to.join());
}

function moduleChanges(before: ReportStep | undefined, step: ReportStep): StepChange["modules"] {
	const names = new Set([...Object.keys(before?.modules ?? {}), ...Object.keys(step.modules ?? {})]);
	return [...names]
		.map((name) => ({ name, from: before?.modules?.[name], to: step.modules?.[name] }))
		.filter(({ from, to }) => from !== to);
}
