/**
 * A recorded course of events: what the worker sends, and what the page asks of it. Everything that can be shown is a track: the values of
 * one thing over time, each with the instant at which it came. So each instant, what changed in it, and where a value
 * came from, are look-ups.
 */

/** KLP_TRANSITION_IDLE, _UNPATCHED, _PATCHED. */
export type PatchState = -1 | 0 | 1;

/** Where a task or an actor of the kernel is. */
export interface Where {
	readonly kind: "user" | "asleep" | "function" | "trampoline" | "handler" | "kernel" | "host" | "gone";
	/** The function, the step of the handler, or the step of an administrator. */
	readonly text: string;
}

export interface LaneState {
	readonly patch_state: PatchState;
	/** TIF_PATCH_PENDING. */
	readonly pending: boolean;
	readonly where: Where;
}

export interface Lane {
	readonly name: string;
	/** `actor`: an administrator or the kworker; `idle`: the idle task of a CPU. */
	readonly kind: "actor" | "task" | "idle";
}

/** A broken invariant, with its sentence. */
export interface BrokenAt {
	readonly invariant: string;
	readonly message: string;
	readonly task: string | undefined;
}

/** One step of somebody: kernel code to its next point, or a task to its next change. */
export interface RecordedEvent {
	/** Name of a lane. */
	readonly who: string;
	/** The step of an administrator to which it belongs, `insmod lp3`; a task has none. */
	readonly title: string;
	/** The point that was reached. */
	readonly label: string;
	/** Stories do not show it. */
	readonly quiet: boolean;
	/** Number of the move of the schedule, from 0; -1: the schedule had ended. For a run: the step of the scenario. */
	readonly move: number;
	readonly broken: readonly BrokenAt[];
}

/** The values of one thing: `values[n]` came at instant `at[n]`, and stayed until `at[n + 1]`. */
export interface Track {
	readonly at: number[];
	readonly values: unknown[];
}

export interface Symbol {
	readonly name: string;
	readonly address: number;
	readonly size: number;
}

/** Code as it was when it was first seen; later changes are tracks. */
export interface CodeBlock {
	readonly name: string;
	readonly address: number;
	readonly bytes: Uint8Array;
	readonly symbols: readonly Symbol[];
}

/** A patched function: its call site, and where it lies. */
export interface RecordedFunction {
	readonly name: string;
	readonly address: number;
	readonly size: number;
	/** The fentry site; 0: none. */
	readonly site: number;
}

/** How a recording came about. */
export type Source = "run" | "schedule" | "follow";

export interface Recording {
	readonly source: Source;
	readonly scenario: string;
	readonly design: string;
	readonly designTitle: string;
	readonly functions: readonly string[];
	readonly lanes: readonly Lane[];
	/** Event n leads to instant n + 1; instant 0 is before the first. */
	readonly events: readonly RecordedEvent[];
	readonly tracks: ReadonlyMap<string, Track>;
	readonly dmesg: readonly string[];
	/** What the scenario expected and did not come, for a run; why a schedule could not be followed further. */
	readonly remarks: readonly string[];
}

/** Registers of a task; the last words are rip and rflags. */
export type Registers = BigUint64Array;

export interface KernelStack {
	/** Address of the first word. */
	readonly sp: number;
	readonly words: BigUint64Array;
}

export interface Frame {
	readonly symbol: string;
	readonly address: number;
	/** The stack pointer in the frame. */
	readonly sp: number;
}

export interface Frames {
	readonly reliable: boolean;
	/** Why not. */
	readonly reason: string;
	readonly frames: readonly Frame[];
}

/** The keys of tracks. */
export const KEY = {
	lane: (name: string) => `lane/${name}`,
	stack: (func: string) => `func_stack/${func}`,
	/** Implementations by patch_state + 1, each by function. */
	views: "views",
	promised: "promised",
	sysfs: (path: string) => `sysfs/${path}`,
	func: (name: string) => `func/${name}`,
	/** Bytes of code at an address that were changed, in hexadecimal. */
	text: (address: number) => `text/${address}`,
	regs: (name: string) => `regs/${name}`,
	kstack: (name: string) => `kstack/${name}`,
	frames: (name: string) => `frames/${name}`,
	dmesg: "dmesg",
	inTransition: "transition",
	modules: "modules",
} as const;

/** Index of the last entry of a sorted list that is not greater than `limit`; -1: none. */
export function lastNotAfter(sorted: readonly number[], limit: number): number {
	let [low, high] = [0, sorted.length];
	while (low < high) {
		const middle = (low + high) >>> 1;
		if (sorted[middle]! <= limit) low = middle + 1;
		else high = middle;
	}
	return low - 1;
}

/** A change of one track at one instant. */
export interface Change {
	readonly key: string;
	readonly from: unknown;
	readonly to: unknown;
}

/** A part of the value of a track. */
export type Part = (value: unknown) => unknown;

/** Look-ups in a recording. */
export class Timeline {
	readonly recording: Recording;
	/** The last instant. */
	readonly end: number;
	/** Keys that change at an instant. */
	readonly #changed = new Map<number, string[]>();

	constructor(recording: Recording) {
		this.recording = recording;
		this.end = recording.events.length;
		for (const [key, { at }] of recording.tracks) {
			for (const instant of at) {
				const keys = this.#changed.get(instant);
				if (keys === undefined) this.#changed.set(instant, [key]);
				else keys.push(key);
			}
		}
	}

	/** The value of a thing at an instant; undefined: it was not there. */
	at(key: string, instant: number): unknown {
		const track = this.recording.tracks.get(key);
		if (track === undefined) return undefined;
		const index = lastNotAfter(track.at, instant);
		return index < 0 ? undefined : track.values[index];
	}

	lane(name: string, instant: number): LaneState | undefined {
		return this.at(KEY.lane(name), instant) as LaneState | undefined;
	}

	/** The instant at which the present value of a thing came, or of a part of it: one register, one word of a stack. */
	since(key: string, instant: number, part: Part = (value) => value): number | undefined {
		const track = this.recording.tracks.get(key);
		let index = track === undefined ? -1 : lastNotAfter(track.at, instant);
		if (track === undefined || index < 0) return undefined;
		const now = part(track.values[index]);
		while (index > 0 && part(track.values[index - 1]) === now) index--;
		return track.at[index];
	}

	/** Number of the first events that are the same in another recording. */
	inCommon({ recording: { events: others } }: Timeline): number {
		const { events } = this.recording;
		let count = 0;
		for (; count < events.length && count < others.length; count++) {
			const [one, other] = [events[count]!, others[count]!];
			if (one.who !== other.who || one.title !== other.title || one.label !== other.label) break;
		}
		return count;
	}

	/** All that changed with the event that led to an instant. */
	changes(instant: number): Change[] {
		if (instant <= 0) return [];
		return (this.#changed.get(instant) ?? []).map((key) => ({
			key,
			from: this.at(key, instant - 1),
			to: this.at(key, instant),
		}));
	}

	changedAt(key: string, instant: number): boolean {
		return instant > 0 && (this.#changed.get(instant)?.includes(key) ?? false);
	}

	/** Keys with a prefix that have a value at an instant, in the order in which they first came. */
	keys(prefix: string, instant: number): string[] {
		return [...this.recording.tracks.keys()].filter(
			(key) => key.startsWith(prefix) && this.at(key, instant) !== undefined,
		);
	}

	/** The next instant after `instant`, or the last before it, with this property; undefined: none. */
	find(instant: number, direction: 1 | -1, wanted: (instant: number) => boolean): number | undefined {
		for (let i = instant + direction; i >= 0 && i <= this.end; i += direction) if (wanted(i)) return i;
		return undefined;
	}

	/** A task switches at this instant: UNPATCHED to PATCHED, or back. */
	switches(instant: number): boolean {
		return this.changes(instant).some(({ key, from, to }) => {
			if (!key.startsWith("lane/") || from === undefined || to === undefined) return false;
			const [before, after] = [(from as LaneState).patch_state, (to as LaneState).patch_state];
			return before !== after && before !== -1 && after !== -1;
		});
	}

	breaks(instant: number): boolean {
		return (this.recording.events[instant - 1]?.broken.length ?? 0) > 0;
	}

	/** The first instant that breaks something. */
	get firstBroken(): number | undefined {
		return this.find(0, 1, (instant) => this.breaks(instant));
	}
}
