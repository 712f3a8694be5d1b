import { type Facts, sameFact } from "./facts.js";
import type { TranscriptState, TranscriptTask } from "./transcript.js";

/** What may differ from run to run, and so does not count; each kind with the number of places. */
export const TIMING = {
	ended:
		"the real kernel's transition had ended before the next action: the emulated one comes to its end within 3 s too, and only then goes on",
	later: "the real kernel was further: the emulated one comes to the same, or through the same, within 3 s",
	unswitched:
		"a task that had not switched yet on the real kernel, and sleeps in no function: it is looked at again within a second",
	behind:
		"the real kernel's transition was still open, held by no task that sleeps in a function: the emulated one was there, and has ended",
	otherwise:
		"a task was caught inside a function, or not, by chance: under another seed the emulated kernel comes to the same within 3 s",
	retries: "lines of klp_try_switch_task(): as many as the transition was tried again",
	signals: "'signaling remaining tasks': printed when a transition is 15 s old",
	debug: "debug lines of livepatch ('initializing', 'completing'), which the recorder had not switched on",
	running: "a task that runs: it may be in any of its functions",
} as const;
export type Timing = keyof typeof TIMING;

const STATE = ["patch_state", "pending"];
const OTHERS = [...STATE, "in", "/proc/PID/patch_state"];

/**
 * Facts that were read at one moment, so that one moment of the emulated kernel must have all of them: the functions that a task runs, its
 * patch_state with its flag. Others are read one after the other.
 */
export function momentOf(name: string): string {
	const [task, what] = name.split(": ");
	if (what === undefined) return name;
	return STATE.includes(what) ? `${task}: state` : isView(name) ? `${task}: views` : name;
}

/** The implementation that a task runs for a function. */
export function isView(name: string): boolean {
	const what = name.split(": ")[1];
	return what !== undefined && !OTHERS.includes(what);
}

/** Facts of one moment. */
export type Moment = readonly (readonly [name: string, real: string])[];

/** The emulated kernel has all of these facts at this look, or has come through them on its way there from `here`. */
export function hasAll(moment: Moment, here: Facts, look: Facts): boolean {
	return moment.every(([name, real]) => comesTo(name, real, here, look));
}

/**
 * This look has the fact; or the task has switched since, and the transition has ended with it, where other tasks of the real kernel held it
 * up a little longer.
 */
function comesTo(name: string, real: string, here: Facts, look: Facts): boolean {
	const ours = look.get(name);
	if (sameFact(name, real, ours)) return true;
	const [task, what] = name.split(": ");
	const isState = what === "patch_state" || what === "/proc/PID/patch_state";
	const isPending = here.get(`${task}: pending`) === "true";
	return isState && isPending && ours === "IDLE" && real !== here.get(name) && real !== "IDLE";
}

/** The livepatch in transition on the real kernel. */
export function inTransition({ sysfs }: TranscriptState): string | undefined {
	const path = Object.keys(sysfs).find((one) => one.endsWith("/transition") && sysfs[one] === 1);
	return path?.split("/")[0];
}

/** A transition is open, although no task of the scenario holds it up: those that have not switched are looked at again within a second. */
export function isBehind(state: TranscriptState): boolean {
	const waits = (task: TranscriptTask) => task.pending && typeof task.in === "string";
	return inTransition(state) !== undefined && !Object.values(state.tasks).some(waits);
}

/** A task that sleeps in no function, and has not switched yet in the transition that is open: its patch_state is the one before. */
export function isUnswitched(task: TranscriptTask | undefined, state: TranscriptState): boolean {
	const livepatch = inTransition(state);
	if (task === undefined || livepatch === undefined || typeof task.in === "string" || !task.pending) return false;
	return task.patch_state === (state.sysfs[`${livepatch}/enabled`] === 1 ? "UNPATCHED" : "PATCHED");
}

/**
 * Where a transition is open, a task that sleeps in no function may have switched already, or not; and the transition may be over, with what goes
 * then: livepatches, references, patched functions.
 */
export function mayBeChance(name: string, real: string, here: Facts, state: TranscriptState): boolean {
	const open = [...here].some(([path, value]) => path.endsWith("/transition") && value === "1");
	const [task, what] = name.split(": ");
	const isOver =
		what === undefined ? inTransition(state) === undefined : name.endsWith("patch_state") && real === "IDLE";
	const found = state.tasks[task!];
	return open && (isOver || (found !== undefined && typeof found.in !== "string"));
}
