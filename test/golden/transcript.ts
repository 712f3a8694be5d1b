/**
 * Reads a transcript of a real kernel (transcripts/*.txt, recorded in QEMU) into what does not vary from run to run: the
 * recorded states, the commands with their results, and the lines of livepatch in dmesg, in order.
 */
export interface TranscriptTask {
	/** Implementation it sleeps in; the original under its own name; null: outside patched functions. */
	readonly in: string | null;
	readonly patch_state: "IDLE" | "UNPATCHED" | "PATCHED";
	readonly pending: boolean;
	/** `lp1_funcA`, or `original`. */
	readonly view: Readonly<Record<string, string>>;
}

export interface TranscriptState {
	readonly kind: "state";
	readonly title: string;
	/** Below /sys/kernel/livepatch: `lp1/enabled`; `lp1/klp_target/funcA,1` is 1 where that folder exists. */
	readonly sysfs: Readonly<Record<string, number>>;
	/** /sys/module/NAME/refcnt. */
	readonly refcnt: Readonly<Record<string, number>>;
	readonly tasks: Readonly<Record<string, TranscriptTask>>;
	/** /proc/PID/patch_state of user tasks, also of those that `tasks` has not. */
	readonly patch_states: Readonly<Record<string, number>>;
	/** Number of ftrace_ops by function (enabled_functions). */
	readonly ftrace: Readonly<Record<string, number>>;
}

export interface TranscriptCommand {
	readonly kind: "command";
	readonly command: string;
	readonly rc: number;
	/** What it printed. */
	readonly output: readonly string[];
}

export type TranscriptEvent =
	| TranscriptState
	| TranscriptCommand
	/** A heading of the recorder's script. */
	| { readonly kind: "heading"; readonly title: string }
	/** A line of livepatch; the recorder's own (`oracle:`) are left out. */
	| { readonly kind: "dmesg"; readonly line: string };

const PATCH_STATES: Readonly<Record<string, TranscriptTask["patch_state"]>> = {
	"-1": "IDLE",
	"0": "UNPATCHED",
	"1": "PATCHED",
};

type Open<T> = { -readonly [K in keyof T]: T[K] extends Readonly<Record<string, infer V>> ? Record<string, V> : T[K] };

/** Throws on a line of the recorder that it does not understand: nothing is skipped silently. */
export function parseTranscript(text: string): TranscriptEvent[] {
	const events: TranscriptEvent[] = [];
	let state: Open<TranscriptState> | undefined;
	let command: { kind: "command"; command: string; rc: number; output: string[] } | undefined;
	for (const raw of text.split("\n")) {
		const line = raw.replace(/^\[ *\d+\.\d+\] /, "");
		if (!line.startsWith("### ")) {
			if (line.startsWith("livepatch: ") && !line.startsWith("livepatch: oracle:"))
				events.push({ kind: "dmesg", line });
			continue;
		}
		const body = line.slice(4).trimEnd();
		if (body.startsWith("--- STATE: ")) {
			state = emptyState(body.slice(11));
			events.push(state);
			command = undefined;
		} else if (body.startsWith("=== ")) {
			events.push({ kind: "heading", title: body.slice(4) });
		} else if (body.startsWith("$ ")) {
			command = { kind: "command", command: body.slice(2), rc: 0, output: [] };
			events.push(command);
			state = undefined;
		} else if (body === "END") break;
		else if (command !== undefined && body.startsWith("   ")) {
			const rc = /^ {3}rc=(\d+)$/.exec(body);
			if (rc === null) command.output.push(body.slice(3));
			else {
				command.rc = Number(rc[1]);
				command = undefined;
			}
		} else if (state !== undefined) stateLine(state, body.trim());
		else throw new Error(`neither in a state nor in a command: ${raw}`);
	}
	return events;
}

function emptyState(title: string): Open<TranscriptState> {
	return { kind: "state", title, sysfs: {}, refcnt: {}, tasks: {}, patch_states: {}, ftrace: {} };
}

function stateLine(state: Open<TranscriptState>, line: string): void {
	const task = /^task (\S+) +pid=\d+ +\S+ +in=(.*?) +patch_state= ?(-?\d) pending=([01]) (.*)$/.exec(line);
	const sysfs = /^\/sys\/kernel\/livepatch\/(\w+): (.*?) (\w+)\{patched=(\d): (.*)\}$/.exec(line);
	const proc = /^\/proc\/PID\/patch_state: (.*)$/.exec(line);
	const ftrace = /^ftrace (\w+) \[\w+\] \((\d+)\)/.exec(line);
	if (task !== null) {
		const [, name, inside, patch_state, pending, views] = task;
		state.tasks[name!] = {
			in: inside === "-" || inside === "(no patched func)" ? null : inside!.replace(/^orig /, ""),
			patch_state: PATCH_STATES[patch_state!]!,
			pending: pending === "1",
			view: Object.fromEntries(views!.split(" ").map(viewEntry)),
		};
	} else if (sysfs !== null) {
		const [, name, files, object, patched, funcs] = sysfs;
		for (const [file, value] of files!.split(" ").map((pair) => pair.split("="))) {
			if (file === "refcnt") state.refcnt[name!] = Number(value);
			else state.sysfs[`${name}/${file}`] = Number(value);
		}
		state.sysfs[`${name}/${object}/patched`] = Number(patched);
		for (const func of funcs!.split(" ")) state.sysfs[`${name}/${object}/${func}`] = 1;
	} else if (proc !== null) {
		for (const [, name, value] of proc[1]!.matchAll(/(\w+)\(\d+\)=(-?\d)/g)) state.patch_states[name!] = Number(value);
	} else if (ftrace !== null) state.ftrace[ftrace[1]!] = Number(ftrace[2]);
	else throw new Error(`not a line of a state: ${line}`);
}

function viewEntry(pair: string): [string, string] {
	const [func, impl] = pair.split("=");
	return [func!, impl === "orig" ? "original" : `${impl}_${func}`];
}
