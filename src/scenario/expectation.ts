import { errnoName } from "../linux/lib/index.js";
import type { ReportStep, ReportTask } from "../report/index.js";
import type { Expectation } from "./types.js";

/** The data with which an expectation is compared. */
export interface Found extends Pick<ReportStep, "tasks" | "sysfs" | "func_stacks"> {
	/** Calls by ops. */
	readonly calls: ReadonlyMap<string, number>;
	/** Lines of the function trace. */
	readonly trace: readonly string[];
	/** Lines printed since the last expectation that had `dmesg`. */
	readonly dmesg: readonly string[];
}

/**
 * Compares an `expect` step with the machine's state. Returns one sentence for each difference; empty: the expectation
 * is true. `errno` is not compared here, but at the end of the step before, with `checkErrno`.
 */
export function checkExpectation(expect: Expectation, state: Found): string[] {
	const failures = expect.tasks.flatMap((name) => checkTask(expect, name, state.tasks[name]));
	for (const [path, wanted] of expect.sysfs) {
		const value = state.sysfs[path];
		const is = value === undefined ? null : String(value);
		if (is === wanted) continue;
		const words = is === null ? "does not exist" : `is ${is}`;
		failures.push(wanted === null ? `${path} exists, it should not` : `${path} ${words}, not ${wanted}`);
	}
	for (const [func, wanted] of expect.func_stacks) {
		const is = state.func_stacks[func] ?? [];
		if (is.join() !== wanted.join()) {
			failures.push(`func_stack of ${func} is [${is.join(", ")}], not [${wanted.join(", ")}]`);
		}
	}
	for (const [ops, wanted] of expect.calls) {
		const is = state.calls.get(ops) ?? 0;
		if (is !== wanted) failures.push(`${ops} was called ${is} times, not ${wanted}`);
	}
	const missing = firstMissing(expect.dmesg ?? [], state.dmesg, (line, wanted) => line === wanted);
	if (missing !== undefined) failures.push(`dmesg lacks (or has in another order): ${missing}`);
	const untraced = firstMissing(expect.trace ?? [], state.trace, (line, wanted) => line.includes(wanted));
	if (untraced !== undefined) failures.push(`the trace lacks (or has in another order): ${untraced}`);
	return failures;
}

function checkTask(expect: Expectation, name: string, task: ReportTask | undefined): string[] {
	if (task === undefined) return [`there is no task ${name} any more`];
	const failures: string[] = [];
	const compare = (what: string, is: string, wanted: string) => {
		if (is !== wanted) failures.push(`${name}: ${what} is ${is}, not ${wanted}`);
	};
	if (expect.patch_state !== undefined) compare("patch_state", task.patch_state, expect.patch_state);
	if (expect.pending !== undefined) compare("TIF_PATCH_PENDING", flag(task.pending), flag(expect.pending));
	if (expect.in !== undefined) compare("the function it is in", task.in ?? "none", expect.in ?? "none");
	for (const [func, wanted] of expect.view) compare(func, task.view[func] ?? "original", wanted);
	return failures;
}

function flag(value: boolean): string {
	return value ? "set" : "clear";
}

/** The first line of `wanted` that is not found behind the place of the line before it. */
function firstMissing(
	wanted: readonly string[],
	lines: readonly string[],
	matches: (line: string, wanted: string) => boolean,
): string | undefined {
	let position = 0;
	for (const line of wanted) {
		const found = lines.slice(position).findIndex((candidate) => matches(candidate, line));
		if (found < 0) return line;
		position += found + 1;
	}
	return undefined;
}

/** A sentence if a step did not end as expected; undefined: it did. */
export function checkErrno(is: number, wanted: number): string | undefined {
	if (is === wanted) return undefined;
	const name = (errno: number) => (errno === 0 ? "success" : errnoName(errno));
	return `the result is ${name(is)}, not ${name(wanted)}`;
}
