import { KlpemuError } from "../base/index.js";
import { INVARIANTS, type Invariant } from "../consistency/index.js";
import type { SourcePlace } from "./source-place.js";

/** One decision of a schedule. */
export interface Move {
	/** A task, an administrator, or `kworker`. */
	readonly who: string;
	/** Number of steps of kernel code, each to its next point or place; always 1 for a task. */
	readonly steps: number;
	/**
	 * Tasks that are on a CPU when that step (counted from 0) reads on_cpu. All other tasks that could be on a CPU are
	 * not.
	 */
	readonly busy: readonly { readonly step: number; readonly task: string }[];
	/** The kworker's work has been tried often enough to send signals. */
	readonly late: boolean;
	/** For reports: the point that it reached. */
	readonly label: string;
	/** Where that is in the source of guest code. A saved schedule has it in the comment beside the move. */
	readonly place?: SourcePlace;
}

/** Contents of a saved schedule. */
export interface Schedule {
	/** The scenario's file, as it was given. */
	readonly scenario: string;
	/** Of the scenario's text: in another scenario, the moves have another meaning. */
	readonly fingerprint: string;
	readonly design: string;
	/** The kernel of a compiled core; undefined: the core in TypeScript. */
	readonly core?: string;
	/** Of that core's file: two cores of one kernel may differ by a patch. Undefined: a schedule that says only the kernel. */
	readonly coreHash?: string;
	/** The invariant that it breaks, and the message. */
	readonly invariant: Invariant;
	readonly message: string;
	/** The accesses of guest code that are points (see SharedMemory.points()). Undefined: none. */
	readonly points?: readonly string[];
	/**
	 * The functions that livepatches in C change, as `object:function` or `object:function#position`: a task's move ends where kernel
	 * code can see that it enters or leaves one. Undefined: none.
	 */
	readonly watched?: readonly string[];
	readonly moves: readonly Move[];
}

/** One of {@link Schedule.watched}. */
export const PLACE = /^(?<object>[^:\s]+):(?<short>(?<func>[^#:\s]+)(#(?<sympos>[1-9]\d*))?)$/;

const FIRST_LINE = "klpemu schedule 1";

/** A schedule as text. The first line holds the version of the format; `#` begins a comment. */
export function formatSchedule(schedule: Schedule): string {
	const { scenario, fingerprint, design, invariant, message, moves } = schedule;
	const lines = [FIRST_LINE, `scenario: ${scenario}`, `fingerprint: ${fingerprint}`, `design: ${design}`];
	if (schedule.core !== undefined) lines.push(`core: ${schedule.core}`);
	if (schedule.coreHash !== undefined) lines.push(`coreHash: ${schedule.coreHash}`);
	const points = schedule.points?.length ? [`points: ${schedule.points.join(" ")}`] : [];
	if (schedule.watched?.length) points.push(`watched: ${schedule.watched.join(" ")}`);
	lines.push(`invariant: ${invariant}`, `message: ${message}`, ...points, `length: ${moves.length}`, "moves:");
	for (const { who, steps, busy, late, label, place } of moves) {
		const words = [who, ...(steps === 1 ? [] : [`steps=${steps}`]), ...(late ? ["late"] : [])];
		for (const { step, task } of busy) words.push(`busy=${step}:${task}`);
		lines.push(`  ${words.join(" ").padEnd(30)} # ${label}${placeText(place)}`);
	}
	return `${lines.join("\n")}\n`;
}

/** Throws `SCHEDULE_SYNTAX`. */
export function parseSchedule(text: string, fileName: string): Schedule {
	const lines = text.trimEnd().split("\n");
	const bad = (line: number, message: string, hint?: string) =>
		new KlpemuError("SCHEDULE_SYNTAX", message, { where: `${fileName}:${line + 1}`, hint });
	if (lines[0]?.trim() !== FIRST_LINE) {
		throw bad(0, "not a schedule of this version", `the first line must be '${FIRST_LINE}'`);
	}
	const header = new Map<string, string>();
	let at = 1;
	for (; at < lines.length && lines[at]!.trim() !== "moves:"; at++) {
		const [, key, value] = /^(\w+): (.*)$/.exec(lines[at]!) ?? [];
		if (key === undefined) throw bad(at, `'${lines[at]}' is no 'key: value'`);
		header.set(key, value!);
	}
	const cut = "it may have been cut: explore the scenario again";
	if (at === lines.length) throw bad(at - 1, "the line 'moves:' is missing", cut);
	const value = (key: string) => {
		const found = header.get(key);
		if (found === undefined) throw bad(at, `'${key}: ...' is missing`);
		return found;
	};
	const invariant = value("invariant") as Invariant;
	if (!INVARIANTS.includes(invariant)) throw bad(at, `unknown invariant '${invariant}'`, INVARIANTS.join(", "));
	const moves: Move[] = [];
	for (at++; at < lines.length; at++) {
		if (lines[at]!.trim() !== "") moves.push(parseMove(lines[at]!, (message) => bad(at, message)));
	}
	// Older schedules do not say their length.
	const length = header.get("length");
	if (length !== undefined && length !== String(moves.length)) {
		throw bad(lines.length - 1, `the schedule has ${moves.length} moves, not ${length}`, cut);
	}
	const [scenario, fingerprint, design] = ["scenario", "fingerprint", "design"].map(value) as [string, string, string];
	const points = header.get("points")?.split(" ");
	const watched = header.get("watched")?.split(" ");
	const unclear = watched?.find((place) => !PLACE.test(place));
	if (unclear !== undefined) throw bad(at, `watched: '${unclear}' is no 'object:function'`, cut);
	const core = header.get("core");
	const coreHash = header.get("coreHash");
	const kernel = { ...(core !== undefined && { core }), ...(coreHash !== undefined && { coreHash }) };
	const guest = { ...(points && { points }), ...(watched && { watched }) };
	return { scenario, fingerprint, design, ...kernel, invariant, message: value("message"), ...guest, moves };
}

const AT = /^(?<label>.*) @ (?<file>.+):(?<line>\d+) (?<func>\S+?)(?: calls (?<calls>\S+))?$/;

function placeText(place: SourcePlace | undefined): string {
	if (place === undefined) return "";
	return ` @ ${place.file}:${place.line} ${place.func}${place.calls === undefined ? "" : ` calls ${place.calls}`}`;
}

/** A comment: the label, and the place if there is one. */
function parseComment(text: string): Pick<Move, "label" | "place"> {
	const { label, file, line, func, calls } = AT.exec(text)?.groups ?? {};
	if (label === undefined || file === undefined || func === undefined) return { label: text };
	return { label, place: { func, file, line: Number(line), ...(calls !== undefined && { calls }) } };
}

function parseMove(line: string, bad: (message: string) => KlpemuError): Move {
	const [code = "", comment = ""] = line.split(/ # (.*)/);
	const [who, ...words] = code.trim().split(/\s+/);
	let steps = 1;
	let late = false;
	const busy: { step: number; task: string }[] = [];
	for (const word of words) {
		const [, count] = /^steps=([1-9]\d*)$/.exec(word) ?? [];
		const [, step, task] = /^busy=(\d+):(\S+)$/.exec(word) ?? [];
		if (count !== undefined) steps = Number(count);
		else if (step !== undefined) busy.push({ step: Number(step), task: task! });
		else if (word === "late") late = true;
		else throw bad(`'${word}' is none of steps=N, busy=STEP:TASK, late`);
	}
	if (who === undefined || who === "") throw bad("a move begins with the name of its task or actor");
	return { who, steps, busy, late, ...parseComment(comment) };
}
