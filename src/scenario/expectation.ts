import { errnoName } from "../kernel/index.js";
import type { ReportStep, ReportTask } from "../report/index.js";
import type { Expectation } from "./types.js";

/**
 * Compares an `expect` step with the machine's state. Returns one sentence for each thing that is otherwise; empty: it holds.
 * `dmesg`: the lines printed since the last expectation that had `dmesg`. `errno` is not compared here: that is done where
 * the step before it ends, with `checkErrno`.
 */
export function checkExpectation(
	expect: Expectation,
	state: Pick<ReportStep, "tasks" | "sysfs" | "func_stacks">,
	dmesg: readonly string[],
): string[] {
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
	const missing = expect.dmesg === undefined ? undefined : firstMissing(expect.dmesg, dmesg);
	if (missing !== undefined) failures.push(`dmesg lacks (or has in another order): ${missing}`);
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

/** The first line of `wanted` that does not follow, anywhere, on where the one before it was found. */
function firstMissing(wanted: readonly string[], lines: readonly string[]): string | undefined {
	let position = -1;
	for (const line of wanted) {
		position = lines.indexOf(line, position + 1);
		if (position < 0) return line;
	}
	return undefined;
}

/** The sentence for a step that ended otherwise than expected; undefined: it did as expected. */
export function checkErrno(is: number, wanted: number): string | undefined {
	if (is === wanted) return undefined;
	const name = (errno: number) => (errno === 0 ? "success" : errnoName(errno));
	return `the result is ${name(is)}, not ${name(wanted)}`;
}
