import { isDeepStrictEqual } from "node:util";
import { ERRNO } from "../../src/linux/lib/index.js";
import type { Report, ReportStep } from "../../src/report/index.js";
import type { TranscriptEvent, TranscriptState } from "./transcript.js";

/**
 * What differs on purpose between a run and the recorded kernel:
 * - the recorder's functions live in a module, `klp_target`, ours in vmlinux;
 * - the recorder's shell is the task `reader` in its list of tasks, and `shell` in /proc;
 * - `lpN/OBJECT/FUNC,SYMPOS` are folders, which a report of numbers does not have;
 * - "is sleeping on function" lines name a pid, and there are as many of them as the retry work ran.
 */
const OBJECT = { theirs: "klp_target", ours: "vmlinux" };
const SHELL = { theirs: "shell", ours: "reader" };
const FOLDER = /\/\w+,\d+$/;
const TIMING = /^livepatch: klp_try_switch_task: |^livepatch: signaling remaining tasks/;

const STATE_NUMBER = { IDLE: -1, UNPATCHED: 0, PATCHED: 1 } as const;

/** The step of a `state` marker. */
export function stepOf(report: Report, title: string): ReportStep | undefined {
	return report.steps.find((step) => step.action === `state: ${title}`);
}

/** What a recorded state has that the step has not, or has otherwise. Empty: they agree. */
export function compareState(step: ReportStep, state: TranscriptState): string[] {
	const differences: string[] = [];
	const compare = (what: string, ours: unknown, theirs: unknown) => {
		if (isDeepStrictEqual(ours, theirs)) return;
		differences.push(`${what}: here ${JSON.stringify(ours)}, recorded ${JSON.stringify(theirs)}`);
	};
	for (const [name, task] of Object.entries(state.tasks)) {
		const ours = step.tasks[name];
		compare(`task ${name}`, ours && { ...ours, view: pick(ours.view, Object.keys(task.view)) }, task);
	}
	for (const [name, number] of Object.entries(state.patch_states)) {
		const ours = step.tasks[name === SHELL.theirs ? SHELL.ours : name]?.patch_state;
		compare(`patch_state of ${name}`, ours && STATE_NUMBER[ours], number);
	}
	const files = Object.entries(state.sysfs)
		.filter(([path]) => !FOLDER.test(path))
		.map(([path, value]): [string, number] => [path.replace(`/${OBJECT.theirs}/`, `/${OBJECT.ours}/`), value]);
	for (const [path, value] of files) compare(path, step.sysfs[path], value);
	compare("livepatches in sysfs", livepatches(step.sysfs), livepatches(state.sysfs));
	compare("functions with an ftrace_ops", Object.keys(step.func_stacks).sort(), Object.keys(state.ftrace).sort());
	return differences;
}

function pick(view: Readonly<Record<string, string>>, functions: readonly string[]) {
	return Object.fromEntries(functions.map((func) => [func, view[func]]));
}

function livepatches(sysfs: Readonly<Record<string, number>>): string[] {
	return [...new Set(Object.keys(sysfs).map((path) => path.split("/")[0]!))].sort();
}

/** The lines of livepatch, without those that depend on timing. */
export function recordedDmesg(events: readonly TranscriptEvent[]): string[] {
	return events.flatMap((event) => (event.kind === "dmesg" && !TIMING.test(event.line) ? [event.line] : []));
}

export function reportDmesg(report: Report): string[] {
	return report.dmesg.filter((line) => line.startsWith("livepatch: ") && !TIMING.test(line));
}

/** `insmod lp1 0`, `echo 0 > lp3/enabled -22`: the commands on livepatches with their results, in order. */
export function recordedResults(events: readonly TranscriptEvent[]): string[] {
	return events.flatMap((event) => {
		if (event.kind !== "command" || !/^(insmod \/mods\/lp|rmmod lp|echo )/.test(event.command)) return [];
		return [`${event.command.replace(/\/mods\/(\w+)\.ko/, "$1")} ${errnoOf(event.rc, event.output.join("\n"))}`];
	});
}

export function reportResults(report: Report): string[] {
	return report.steps
		.filter(({ action }) => /^(insmod|rmmod|echo) /.test(action))
		.map(({ action, errno }) => `${action} ${errno}`);
}

/** The errno behind what a command printed. */
function errnoOf(rc: number, output: string): number {
	if (rc === 0) return 0;
	if (output.includes("Device or resource busy")) return -ERRNO.EBUSY;
	if (output.includes("Invalid argument")) return -ERRNO.EINVAL;
	// rmmod finds the reference count itself; delete_module would answer -EWOULDBLOCK.
	if (output.includes("is in use")) return -ERRNO.EAGAIN;
	throw new Error(`which errno is this? ${output}`);
}
