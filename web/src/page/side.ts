/** One recording on the screen: its verdict in a sentence, and its diagram. */
import type { Opened } from "../shared/protocol.js";
import { type BrokenAt, KEY, Timeline } from "../shared/recording.js";
import { Diagram } from "./diagram.js";
import { h } from "./dom.js";

export interface SideEvents {
	chosen(side: Side, instant: number): void;
}

export class Side {
	readonly id: number;
	readonly timeline: Timeline;
	readonly diagram: Diagram;
	readonly element: HTMLElement;
	/** Its design, and its schedule if two schedules of one design are beside each other. */
	readonly name: string;
	instant = 0;

	/** `more`: what else is to be said about it. */
	constructor(
		{ id, recording }: Opened,
		name: string,
		wanted: string | undefined,
		events: SideEvents,
		more: readonly string[] = [],
	) {
		this.id = id;
		this.name = name;
		this.timeline = new Timeline(recording);
		this.diagram = new Diagram(this.timeline, recording.design, { chosen: (instant) => events.chosen(this, instant) });
		const moment = momentOf(this.timeline, wanted);
		const go = (instant: number, text: string) =>
			h("button", { type: "button", class: "go", click: () => events.chosen(this, instant) }, text);
		const broken = moment !== undefined;
		const others = brokenBefore(this.timeline, moment?.broken.invariant);
		this.element = h(
			"section",
			{ class: "side", "aria-label": `under ${name}` },
			h(
				"div",
				{ class: "verdict" },
				h(
					"p",
					{ class: "design" },
					h("strong", {}, name),
					h(
						"span",
						{ class: broken ? "pill bad" : "pill good" },
						broken ? "✗ breaks the consistency model" : "✓ keeps it",
					),
				),
				h(
					"p",
					{ class: "sentence" },
					moment === undefined ? keptSentence(this.timeline) : `${moment.broken.message}. `,
					moment && go(moment.instant, "Go to that moment"),
					...others.flatMap(({ instant, invariant }, index) => [
						index === 0 ? " Also: " : ", ",
						go(instant, invariant),
					]),
				),
				...[...recording.remarks.slice(0, 3), ...more].map((remark) => h("p", { class: "remark" }, remark)),
			),
			this.diagram.element,
		);
	}

	/** The instant at which to begin: the violation, else the end. */
	beginning(wanted: string | undefined): number {
		return momentOf(this.timeline, wanted)?.instant ?? this.timeline.end;
	}

	show(instant: number, scroll = true): void {
		this.instant = Math.max(0, Math.min(instant, this.timeline.end));
		this.diagram.show(this.instant, scroll);
	}

	/** The move of the schedule that has been made at an instant. */
	moveAt(instant: number): number {
		return this.timeline.recording.events[instant - 1]?.move ?? -1;
	}

	/** The instant at which a move has been made, or the last one before it. */
	instantOf(move: number): number {
		const { events } = this.timeline.recording;
		for (let i = events.length - 1; i >= 0; i--) if (events[i]!.move >= 0 && events[i]!.move <= move) return i + 1;
		return 0;
	}
}

/** The verdict on a whole recording, in a sentence. */
export function verdictOf(timeline: Timeline): { readonly broken: boolean; readonly sentence: string } {
	const moment = momentOf(timeline, undefined);
	if (moment === undefined) return { broken: false, sentence: keptSentence(timeline) };
	return { broken: true, sentence: `${moment.broken.invariant}: ${moment.broken.message}.` };
}

interface Moment {
	readonly instant: number;
	readonly broken: BrokenAt;
}

/** The violation that the recording is about. */
function momentOf(timeline: Timeline, wanted: string | undefined): Moment | undefined {
	const all = timeline.recording.events.flatMap(({ broken }, index) =>
		broken.map((one) => ({ instant: index + 1, broken: one })),
	);
	const tasks = new Set(timeline.recording.lanes.filter(({ kind }) => kind === "task").map(({ name }) => name));
	const own = all.filter(({ broken: { task } }) => task === undefined || tasks.has(task));
	const list = own.length > 0 ? own : all;
	return list.find(({ broken: { invariant } }) => invariant === wanted) ?? list[0];
}

/** The first violation of each other invariant. */
function brokenBefore(timeline: Timeline, but: string | undefined): { instant: number; invariant: string }[] {
	const first = new Map<string, number>();
	for (const [index, { broken }] of timeline.recording.events.entries()) {
		for (const { invariant } of broken) if (!first.has(invariant)) first.set(invariant, index + 1);
	}
	first.delete(but ?? "");
	return [...first].map(([invariant, instant]) => ({ invariant, instant }));
}

function keptSentence(timeline: Timeline): string {
	const { functions, source } = timeline.recording;
	const views = timeline.at(KEY.views, timeline.end) as readonly (readonly string[])[] | undefined;
	const idle = views?.[0] ?? [];
	const end = functions.map((name, index) => `${idle[index]} for ${name}`).join(" and ");
	const what = source === "follow" ? "The same schedule" : source === "run" ? "This run" : "The schedule";
	return `${what} breaks nothing. At its end every task runs ${end}.`;
}
