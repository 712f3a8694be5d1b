/** The events of a recording as rows of the diagram: what is local and adjacent is one row, which can be opened. */
import type { BrokenAt, Change, LaneState, RecordedEvent, Timeline } from "../shared/recording.js";

/** One lane acts on another. */
export interface Arrow {
	readonly to: string;
	/** What it changes there. */
	readonly what: string;
}

export interface Row {
	/** Its first event, and the one behind its last. */
	readonly first: number;
	readonly end: number;
	readonly who: string;
	/** The step of the administrator, if it begins or goes on here. */
	readonly title: string;
	readonly label: string;
	readonly arrows: readonly Arrow[];
	/** func_stacks and call sites that it changes, in words. */
	readonly effects: readonly string[];
	readonly broken: readonly BrokenAt[];
	/** The row is one of a group that was opened, which begins with this event. */
	readonly opened: number | undefined;
}

interface Group {
	first: number;
	end: number;
	/** Events with this key join it. */
	readonly key: string;
}

/** `opened`: first events of the groups that are shown event by event. */
export function rowsOf(timeline: Timeline, opened: ReadonlySet<number>): Row[] {
	const groups = groupsOf(timeline);
	return groups.flatMap(({ first, end }) => {
		if (!opened.has(first) || end - first === 1) return [rowOf(timeline, first, end, undefined)];
		return Array.from({ length: end - first }, (_, index) => rowOf(timeline, first + index, first + index + 1, first));
	});
}

function groupsOf(timeline: Timeline): Group[] {
	const { events } = timeline.recording;
	const begin = lastTransition(timeline);
	const groups: Group[] = [];
	let over = false;
	for (const [index, event] of events.entries()) {
		const early = index < begin;
		const key = keyOf(timeline, event, index, early);
		const last = groups.at(-1);
		const joins = last !== undefined && !over && joinsGroup(events[last.first]!, event, last.key, key);
		if (joins) last.end = index + 1;
		else groups.push({ first: index, end: index + 1, key });
		over = event.broken.length > 0;
	}
	return groups;
}

/** The event with which the last transition begins: what came to its end before that is told in short. */
function lastTransition(timeline: Timeline): number {
	const track = timeline.recording.tracks.get("transition");
	if (track === undefined) return 0;
	for (let i = track.at.length - 1; i > 0; i--) {
		if (track.values[i] !== undefined && track.values[i - 1] === undefined) return track.at[i]! - 1;
	}
	return 0;
}

const QUIET = "quiet";

/** Events of the same key that follow each other are one row. */
function keyOf(timeline: Timeline, event: RecordedEvent, index: number, early: boolean): string {
	const same = `${event.who} ${event.title}`;
	if (event.broken.length > 0) return `${same} ${index}`;
	if (early) return same;
	const visible = timeline.changes(index + 1).some((change) => isVisible(change, event.who));
	if (visible) return `${same} ${event.label}`;
	return event.quiet ? `${same} ${QUIET}` : `${same} local`;
}

function joinsGroup(first: RecordedEvent, event: RecordedEvent, groupKey: string, key: string): boolean {
	if (first.who !== event.who || first.title !== event.title) return false;
	return groupKey === key || key.endsWith(` ${QUIET}`);
}

/** Somebody else can see the change. */
function isVisible({ key, from, to }: Change, who: string): boolean {
	if (key.startsWith("func_stack/") || key === "views") return true;
	if (!key.startsWith("lane/")) return false;
	const own = key === `lane/${who}`;
	if (!own) return true;
	return (from as LaneState | undefined)?.patch_state !== (to as LaneState | undefined)?.patch_state;
}

function rowOf(timeline: Timeline, first: number, end: number, opened: number | undefined): Row {
	const events = timeline.recording.events.slice(first, end);
	const { who, title } = events[0]!;
	const loud = events.filter(({ quiet }) => !quiet);
	const labels = [...new Set((loud.length > 0 ? loud : events).map(({ label }) => label))];
	const label = labels.length <= 1 ? (labels[0] ?? "") : `${labels[0]} … ${labels.at(-1)}`;
	const changes = changesOf(timeline, first, end);
	return {
		...{ first, end, who, title, label, opened },
		arrows: arrowsOf(changes, who),
		effects: effectsOf(timeline, changes, end),
		broken: events.flatMap((event) => event.broken),
	};
}

/** What differs between the beginning and the end of a row. */
function changesOf(timeline: Timeline, first: number, end: number): Change[] {
	const keys = new Set<string>();
	for (let instant = first + 1; instant <= end; instant++)
		for (const { key } of timeline.changes(instant)) keys.add(key);
	return [...keys].map((key) => ({ key, from: timeline.at(key, first), to: timeline.at(key, end) }));
}

function arrowsOf(changes: readonly Change[], who: string): Arrow[] {
	return changes.flatMap(({ key, from, to }) => {
		if (!key.startsWith("lane/") || key === `lane/${who}`) return [];
		const what = differenceOf(from as LaneState | undefined, to as LaneState | undefined);
		return what === "" ? [] : [{ to: key.slice("lane/".length), what }];
	});
}

const STATE = ["IDLE", "UNPATCHED", "PATCHED"] as const;

export function stateName(state: number): (typeof STATE)[number] {
	return STATE[state + 1] ?? "IDLE";
}

function differenceOf(from: LaneState | undefined, to: LaneState | undefined): string {
	if (from === undefined) return to === undefined ? "" : "creates it";
	if (to === undefined || to.where.kind === "gone") return "ends it";
	const parts: string[] = [];
	if (from.patch_state !== to.patch_state) parts.push(`${stateName(from.patch_state)} → ${stateName(to.patch_state)}`);
	if (from.pending !== to.pending) parts.push(`${to.pending ? "sets" : "clears"} TIF_PATCH_PENDING`);
	if (from.where.kind === "asleep" && to.where.kind !== "asleep") parts.push("wakes it");
	return parts.join(", ");
}

export function stackText(stack: readonly string[]): string {
	return stack.length === 0 ? "[]" : `[${stack.join(", ")}]`;
}

function effectsOf(timeline: Timeline, changes: readonly Change[], end: number): string[] {
	const effects: string[] = [];
	for (const { key, to } of changes) {
		if (key.startsWith("func_stack/")) effects.push(`${key.slice("func_stack/".length)} ${stackText(to as string[])}`);
		if (key.startsWith("text/")) {
			const name = siteName(timeline, Number(key.slice("text/".length)), end);
			if (name !== undefined && to !== undefined)
				effects.push(`${name}: ${spaced(to as string)} ${insnOf(to as string)}`);
		}
	}
	return effects;
}

/** The function whose call site lies there. */
function siteName(timeline: Timeline, address: number, instant: number): string | undefined {
	return timeline.recording.functions.find((name) => {
		return (timeline.at(`func/${name}`, instant) as { site: number } | undefined)?.site === address;
	});
}

export function spaced(hex: string): string {
	return hex.replace(/..(?=.)/g, "$& ");
}

/** What the first bytes of a call site are. */
export function insnOf(hex: string): string {
	if (hex.startsWith("cc")) return "(int3)";
	return hex.startsWith("e8") ? "(call)" : "(nop)";
}
