import { nearest } from "../../base/index.js";
import type { ReportStep } from "../../report/index.js";
import type { TranscriptState } from "./transcript.js";

/**
 * Facts of a state, by name: `H: funcA` -> `lp2_funcA`, `lp1/enabled` -> `1`. A state of a real kernel and one of the emulated kernel agree
 * if each fact that the real one has is the same.
 */
export type Facts = ReadonlyMap<string, string>;

/** What the two machines call differently. */
export interface Names {
	/** Of a state of the real kernel: an object that the scenario does not have is its vmlinux, as a module. */
	objectOf(object: string): string;
	/** Livepatches and modules of the scenario. */
	readonly modules: ReadonlySet<string>;
	/** Tasks of the scenario, and those that it forks. */
	readonly tasks: ReadonlySet<string>;
	/** The scenario has ftrace_ops, so that enabled_functions lists more than livepatches. */
	readonly hasOps: boolean;
	/** Patched functions by the names that a transcript may use. */
	functionOf(name: string): string;
}

const NONE = "(none)";
const STATE_NAMES = ["IDLE", "UNPATCHED", "PATCHED"];

/** What a real kernel said. */
export function recordedFacts(state: TranscriptState, names: Names): Facts {
	const facts = new Map<string, string>();
	for (const [name, task] of Object.entries(state.tasks)) {
		facts.set(`${name}: patch_state`, task.patch_state);
		facts.set(`${name}: pending`, String(task.pending));
		if (task.in !== undefined) facts.set(`${name}: in`, task.in ?? NONE);
		for (const [func, impl] of Object.entries(task.view)) facts.set(`${name}: ${names.functionOf(func)}`, impl);
	}
	for (const [name, { pid, value }] of Object.entries(state.patch_states)) {
		// The recorder's shell may be a task of the scenario under another name.
		const same = Object.entries(state.tasks).find(([, task]) => task.pid === pid)?.[0];
		const task = same ?? name;
		if (names.tasks.has(task)) facts.set(`${task}: /proc/PID/patch_state`, STATE_NAMES[value + 1]!);
	}
	for (const [path, value] of Object.entries(state.sysfs)) {
		const [livepatch, object, file] = path.split("/");
		if (file === undefined) facts.set(path, String(value));
		else if (file === "patched") facts.set(`${livepatch}/${names.objectOf(object!)}/patched`, String(value));
	}
	facts.set("livepatches in sysfs", livepatches(Object.keys(state.sysfs)));
	for (const [name, value] of Object.entries(state.refcnt))
		if (names.modules.has(name)) facts.set(`refcnt of ${name}`, String(value));
	const changed = Object.entries(state.ftrace).filter(([, { ipmodify }]) => ipmodify);
	if (!names.hasOps) facts.set("functions with a livepatch", list(changed.map(([name]) => names.functionOf(name))));
	// Not state.calls: a task that is asked what it runs passes the fentry sites, and is counted.
	return facts;
}

/** The same of the emulated kernel. */
export function emulatedFacts(step: Pick<ReportStep, "tasks" | "sysfs" | "func_stacks" | "modules">): Facts {
	const facts = new Map<string, string>();
	for (const [name, task] of Object.entries(step.tasks)) {
		facts.set(`${name}: patch_state`, task.patch_state);
		facts.set(`${name}: /proc/PID/patch_state`, task.patch_state);
		facts.set(`${name}: pending`, String(task.pending));
		facts.set(`${name}: in`, task.in ?? NONE);
		for (const [func, impl] of Object.entries(task.view)) facts.set(`${name}: ${func}`, impl);
	}
	for (const [path, value] of Object.entries(step.sysfs)) facts.set(path, String(value));
	facts.set("livepatches in sysfs", livepatches(Object.keys(step.sysfs)));
	for (const [name, value] of Object.entries(step.modules ?? {})) facts.set(`refcnt of ${name}`, String(value));
	facts.set("functions with a livepatch", list(Object.keys(step.func_stacks)));
	return facts;
}

function livepatches(paths: readonly string[]): string {
	return list(paths.map((path) => path.split("/")[0]!));
}

function list(names: readonly string[]): string {
	return [...new Set(names)].sort().join(" ") || NONE;
}

/** True if a fact of the real kernel is what the emulated one has: `lp2` is lp2_funcB for funcB. */
export function sameFact(name: string, real: string, here: string | undefined): boolean {
	if (here === real) return true;
	const func = /: (?:\w+:)?([^#]+)/.exec(name)?.[1];
	return func !== undefined && here === `${real}_${func}`;
}

/** The function of the scenario that a transcript names, with or without its object. */
export function functionNames(functions: readonly string[]): Names["functionOf"] {
	return (name) => {
		if (functions.includes(name)) return name;
		const plain = name.replace(/^\w+:/, "");
		return functions.find((func) => func.replace(/^\w+:/, "") === plain) ?? name;
	};
}

/** For a message: the step that was probably meant. */
export function didYouMean(title: string, titles: readonly string[]): string {
	const near = nearest(title, titles);
	return near === undefined ? "" : `: did you mean '${near}'?`;
}
