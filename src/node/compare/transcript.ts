/**
 * Reads what a real kernel logged while the steps of a scenario were made: a transcript of klpemu vm or of a kit's run.sh, one that was
 * recorded by hand in the same form (test/golden/transcripts), or the log of a selftest script. Lines that begin with ### are the
 * recorder's: `===` steps and headings, `---` states, `$` commands, and below them what they printed; all others are the kernel's.
 */
import { ERRNO } from "../../linux/lib/index.js";
import type { ReportTask } from "../../report/index.js";
import { fileValue, STRERROR } from "../../scenario/index.js";

export interface TranscriptTask {
	/** Implementation that it sleeps in, the original under its own name; null: asleep outside; undefined: not asleep, or not known. */
	readonly in: string | null | undefined;
	readonly patch_state: ReportTask["patch_state"];
	readonly pending: boolean;
	/** `lp1_funcA`, or `original`; a function for which the task could not be asked is missing. */
	readonly view: Readonly<Record<string, string>>;
	readonly pid: number;
}

export interface TranscriptState {
	readonly kind: "state";
	readonly title: string;
	/** Below /sys/kernel/livepatch: `lp1/enabled`; `lp1/klp_target/funcA,1` is 1 where that folder exists. */
	readonly sysfs: Readonly<Record<string, number | string>>;
	/** /sys/module/NAME/refcnt. */
	readonly refcnt: Readonly<Record<string, number>>;
	readonly tasks: Readonly<Record<string, TranscriptTask>>;
	/** /proc/PID/patch_state of user tasks, also of those that `tasks` has not. */
	readonly patch_states: Readonly<Record<string, { readonly pid: number; readonly value: number }>>;
	/** Functions in enabled_functions: the number of ftrace_ops, and whether one of them changes the ip, as a livepatch does. */
	readonly ftrace: Readonly<Record<string, { readonly ops: number; readonly ipmodify: boolean }>>;
	/** Calls of the scenario's ftrace_ops. */
	readonly calls: Readonly<Record<string, number>>;
}

export interface TranscriptCommand {
	readonly kind: "command";
	readonly command: string;
	/** Undefined: the transcript ends before the command does. */
	readonly rc: number | undefined;
	/** What it printed. */
	readonly output: readonly string[];
}

export type TranscriptEvent =
	| TranscriptState
	| TranscriptCommand
	/** `=== ...`: a heading, or a step of a kit. */
	| { readonly kind: "heading"; readonly title: string }
	/** A line of the kernel. */
	| { readonly kind: "dmesg"; readonly line: string }
	/** Another line of the recorder. */
	| { readonly kind: "note"; readonly line: string };

export interface Transcript {
	readonly events: readonly TranscriptEvent[];
	/** The design that the kernel has, if the recorder says so. */
	readonly design: string | undefined;
	/** Written by a kit: each step of the scenario is in it, under its number. */
	readonly kit: boolean;
	/** The recorder came to its end. */
	readonly complete: boolean;
}

const PATCH_STATES: Readonly<Record<string, ReportTask["patch_state"]>> = {
	"-1": "IDLE",
	"0": "UNPATCHED",
	"1": "PATCHED",
};

/** On a console, what a program prints without an end of line can stand in front of a line of the recorder. */
const NOISE = /^(?!###|<|\[).*?(?=(<\d+>)?\[ *\d+\.\d+\] (\[ *[TC]\d+\] )?###)/;

type Open<T> = { -readonly [K in keyof T]: T[K] extends Readonly<Record<string, infer V>> ? Record<string, V> : T[K] };

/** `[    7.970582] ` and, with CONFIG_PRINTK_CALLER, `[    T1] `; the level that dmesg --raw prints. */
const PREFIX = /^(<\d+>)?(\[ *\d+\.\d+\] ?)?(\[ *[TC]\d+\] ?)?/;

/** Every line of the recorder is in the result: what is not understood is a note. */
export function parseTranscript(text: string): Transcript {
	const events: TranscriptEvent[] = [];
	let state: Open<TranscriptState> | undefined;
	let command: { kind: "command"; command: string; rc: number | undefined; output: string[] } | undefined;
	let complete = false;
	let design: string | undefined;
	let kit = false;
	for (const raw of text.split("\n")) {
		const line = raw.replaceAll("\r", "").replace(NOISE, "").replace(PREFIX, "").trimEnd();
		if (complete || line === "") continue;
		if (!line.startsWith("###")) {
			events.push({ kind: "dmesg", line });
			continue;
		}
		const body = line.slice(4);
		if (body.startsWith("--- STATE: ")) {
			state = emptyState(body.slice(11));
			events.push(state);
			command = undefined;
		} else if (body.startsWith("=== ")) {
			events.push({ kind: "heading", title: body.slice(4) });
			[state, command] = [undefined, undefined];
		} else if (body.startsWith("$ ")) {
			command = { kind: "command", command: body.slice(2), rc: undefined, output: [] };
			events.push(command);
			state = undefined;
		} else if (body === "END") complete = true;
		else if (command !== undefined && body.startsWith("   ")) {
			const rc = /^ {3}rc=(\d+)$/.exec(body);
			if (rc === null) command.output.push(body.slice(3));
			else {
				command.rc = Number(rc[1]);
				command = undefined;
			}
		} else if (state === undefined || !stateLine(state, body.trim())) {
			kit ||= body.startsWith("BEGIN ");
			design ??= /^design (\S+)$/.exec(body)?.[1];
			events.push({ kind: "note", line: body });
		}
	}
	return { events, design, kit, complete };
}

function emptyState(title: string): Open<TranscriptState> {
	return { kind: "state", title, sysfs: {}, refcnt: {}, tasks: {}, patch_states: {}, ftrace: {}, calls: {} };
}

/** True if it is a line of a state. */
function stateLine(state: Open<TranscriptState>, line: string): boolean {
	return [taskLine, moreOfTask, sysfsLine, procLine, ftraceLine, modulesLine, opsLine].some((read) =>
		read(state, line),
	);
}

function taskLine(state: Open<TranscriptState>, line: string): boolean {
	// Each blank belongs to one part only: a line of a million of them is read at once.
	const task = /^task (\S+) +pid=(\d+) +\S+ +in=(.*?) patch_state= ?(-?\d) pending=([01])(.*)$/.exec(line);
	if (task === null) return false;
	const [, name, pid, padded, patch_state, pending, views] = task;
	const inside = padded!.trimEnd();
	state.tasks[name!] = {
		in:
			inside === "-" || inside === ""
				? undefined
				: inside === "(no patched func)"
					? null
					: inside.replace(/^orig /, ""),
		patch_state: PATCH_STATES[patch_state!]!,
		pending: pending === "1",
		view: viewsOf(views!),
		pid: Number(pid),
	};
	return true;
}

/** `task V        funcE=orig`: what does not fit on the first line. */
function moreOfTask(state: Open<TranscriptState>, line: string): boolean {
	const more = /^task (\S+)((?: +[\w:.#]+=\S+)+)$/.exec(line);
	const task = more === null ? undefined : state.tasks[more[1]!];
	if (task === undefined) return false;
	Object.assign(task.view, viewsOf(more![2]!));
	return true;
}

/** `funcA=orig funcB=lp2 funcC=other_name`: the original, lp2_funcB, an implementation of another name. `?` and `-` are not known. */
function viewsOf(text: string): Record<string, string> {
	const pairs = text
		.trim()
		.split(/ +/)
		.map((pair) => pair.split("=") as [string, string]);
	const known = pairs.filter(([, impl]) => impl !== undefined && impl !== "?" && impl !== "-");
	return Object.fromEntries(known.map(([func, impl]) => [func, impl === "orig" ? "original" : impl]));
}

function sysfsLine(state: Open<TranscriptState>, line: string): boolean {
	const sysfs = /^\/sys\/kernel\/livepatch\/(\w+):((?: \w+=\S+)*)(.*)$/.exec(line);
	if (sysfs === null) return false;
	const [, name, files, objects] = sysfs;
	for (const [file, value] of files!
		.trim()
		.split(" ")
		.map((pair) => pair.split("="))) {
		if (value === undefined || value === "?") continue;
		if (file === "refcnt") state.refcnt[name!] = Number(value);
		else state.sysfs[`${name}/${file}`] = fileValue(value);
	}
	for (const [, object, patched, funcs] of objects!.matchAll(/ (\w+)\{patched=(\d|\?):([^}]*)\}/g)) {
		if (patched !== "?") state.sysfs[`${name}/${object}/patched`] = Number(patched);
		for (const func of funcs!
			.trim()
			.split(" ")
			.filter((one) => one !== ""))
			state.sysfs[`${name}/${object}/${func}`] = 1;
	}
	return true;
}

function procLine(state: Open<TranscriptState>, line: string): boolean {
	const proc = /^\/proc\/PID\/patch_state:(.*)$/.exec(line);
	for (const [, name, pid, value] of (proc?.[1] ?? "").matchAll(/([^\s()]+)\((\d+)\)=(-?\d)/g)) {
		state.patch_states[name!] = { pid: Number(pid), value: Number(value) };
	}
	return proc !== null;
}

function ftraceLine(state: Open<TranscriptState>, line: string): boolean {
	const ftrace = /^ftrace ([\w.]+)(?: \[\w+\])? \((\d+)\)([\sA-Z]*)/.exec(line);
	if (ftrace !== null) state.ftrace[ftrace[1]!] = { ops: Number(ftrace[2]), ipmodify: ftrace[3]!.includes("I") };
	return ftrace !== null;
}

function modulesLine(state: Open<TranscriptState>, line: string): boolean {
	const modules = /^modules:(.*)$/.exec(line);
	for (const [, name, value] of (modules?.[1] ?? "").matchAll(/(\w+)=(-?\d+)/g)) state.refcnt[name!] = Number(value);
	return modules !== null;
}

function opsLine(state: Open<TranscriptState>, line: string): boolean {
	const ops = /^ops (\w+) (\d+)$/.exec(line);
	if (ops !== null) state.calls[ops[1]!] = Number(ops[2]);
	return ops !== null;
}

/** What kmod, busybox and musl say otherwise than glibc. */
const OTHER_MESSAGES: readonly (readonly [RegExp, string])[] = [
	[/nonexistent directory|Unknown symbol in module|is not currently loaded/i, "ENOENT"],
	[/invalid module format/i, "ENOEXEC"],
	[/is in use|Try again/i, "EAGAIN"],
	[/Out of memory/i, "ENOMEM"],
	[/Resource busy/i, "EBUSY"],
	[/Invalid parameters/i, "EINVAL"],
	[/Function not implemented/i, "ENOSYS"],
	[/I\/O error/i, "EIO"],
	[/Result not representable/i, "ERANGE"],
	[/Not supported/i, "EOPNOTSUPP"],
	[/timed out/i, "ETIMEDOUT"],
];

/** Messages by errno; one that begins as another does comes first. */
const MESSAGES: readonly (readonly [string, string])[] = Object.entries(ERRNO)
	.flatMap(([name, errno]): [string, string][] => (errno in STRERROR ? [[STRERROR[errno]!.toLowerCase(), name]] : []))
	.sort(([a], [b]) => b.length - a.length);

/** The name of the errno behind what a command printed: `0` for success, `?` if it is none of the known ones. */
export function errnoOf({ rc, output }: TranscriptCommand): string {
	if (rc === 0) return "0";
	const text = output.join("\n");
	const lower = text.toLowerCase();
	const known =
		MESSAGES.find(([message]) => lower.includes(message)) ?? OTHER_MESSAGES.find(([other]) => other.test(text));
	return known?.[1] ?? "?";
}
