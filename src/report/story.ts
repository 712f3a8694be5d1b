import { groupBy } from "../base/index.js";
import { errnoName } from "../linux/lib/index.js";
import { changes, patchedFunctions, type StepChange, type TaskChange } from "./diff.js";
import { joinNames } from "./table.js";
import type { Report } from "./types.js";

/** What happened, in words: for a mail or a document. */
export interface Story {
	readonly title: string;
	/** Design, Cpu, seed: a line. */
	readonly setting: string;
	readonly steps: readonly { readonly text: string; readonly effects: readonly string[] }[];
	readonly verdict: string;
	/** Each broken invariant, with its explanation. */
	readonly broken: readonly { readonly invariant: string; readonly message: string }[];
	/** What the story lacks, and why. */
	readonly notes?: readonly string[];
}

/** Characters that are marks in the middle of a line of Markdown (CommonMark, 6). An underscore inside a word is none. */
const MARKS = /[\\`*<&]|\](?=[([])|(?<!\w)_|_(?!\w)/g;

function escaped(text: string): string {
	return text.replaceAll("\n", " ").replace(MARKS, (mark) => `\\${mark}`);
}

/** A story as Markdown: a heading, numbered steps with their effects as a list, and the verdict. */
export function renderMarkdown({ title, setting, steps, verdict, broken, notes = [] }: Story): string {
	const lines = [`# ${escaped(title)}`, "", escaped(setting), ""];
	for (const [index, { text, effects }] of steps.entries()) {
		const number = `${index + 1}. `;
		lines.push(number + escaped(text));
		for (const effect of effects) lines.push(`${" ".repeat(number.length)}- ${escaped(effect)}`);
	}
	lines.push(...(steps.length > 0 ? [""] : []), `**${escaped(verdict)}**`);
	for (const { invariant, message } of broken) lines.push("", `- **${escaped(invariant)}**: ${escaped(message)}`);
	for (const note of notes) lines.push("", escaped(note));
	return `${lines.join("\n")}\n`;
}

/** The story of a run. Steps that only compare are left out, unless they fail. */
export function storyOf(report: Report): Story {
	const { scenario, design, core, cpu, seed, preemption, verdict, asExpected } = report;
	const functions = patchedFunctions(report);
	const steps = changes(report, functions).filter((change) => tells(report, change));
	const of = core === undefined ? "" : `, the kernel's own C of Linux ${core}`;
	return {
		title: scenario,
		setting: `design ${design}${of}, cpu ${cpu}, seed ${seed}, preemption ${preemption}`,
		steps: steps.map((change) => ({ text: textOf(change), effects: effectsOf(report, change, functions) })),
		verdict: `${verdict}, ${asExpected ? "as the scenario expects" : "not as the scenario expects"}`,
		broken: firstOfEach(report),
	};
}

function tells(report: Report, { step, violations }: StepChange): boolean {
	const failed = report.failures.some((failure) => failure.step === step.index);
	return !step.action.startsWith("expect ") || failed || violations.length > 0;
}

function textOf({ step }: StepChange): string {
	return step.errno === 0 ? step.action : `${step.action}: ${errnoName(step.errno)}`;
}

function effectsOf(report: Report, change: StepChange, functions: readonly string[]): string[] {
	const { step, stacks, sysfs, changed, violations } = change;
	const tasks = groupBy(changed, (task) => taskText(task, functions));
	return [
		...stacks.map(({ func, to }) => `func_stack of ${func}: ${to.length === 0 ? "empty" : to.join(", ")}`),
		...sysfs.map(({ path, to }) => `${path}: ${to ?? "gone"}`),
		...[...tasks].map(([text, same]) => `${joinNames(same.map(({ task }) => task))}: ${text}`),
		...new Set(violations.map(({ invariant, message }) => `${invariant}: ${message}`)),
		...report.failures.filter((failure) => failure.step === step.index).map(({ message }) => message),
	];
}

function taskText({ state, in: inside, views }: TaskChange, functions: readonly string[]): string {
	const arrow = ({ from, to }: { readonly from?: string | undefined; readonly to: string }) =>
		from === undefined || from === to ? to : `${from} -> ${to}`;
	const runs = views.map((view, index) => `${functions[index]}: ${arrow(view)}`);
	return [arrow(state), ...(inside.to === "-" ? [] : [`in ${inside.to}`]), ...runs].join(", ");
}

function firstOfEach({ violations }: Report): Story["broken"] {
	const first = new Map(violations.toReversed().map((violation) => [violation.invariant, violation]));
	return [...first.values()].reverse().map(({ invariant, message }) => ({ invariant, message }));
}
