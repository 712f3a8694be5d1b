/** The bar of one instant: where we are, what changed, and the ways to other instants. */
import type { Change, LaneState, Part } from "../shared/recording.js";
import type { App } from "./app.js";
import { byId, h } from "./dom.js";
import { placeText } from "./panel.js";
import { spaced, stackText, stateName } from "./rows.js";
import type { Side } from "./side.js";

/** Changes that are told in one line. */
const MOST_CHANGES = 12;

interface Way {
	readonly key: string;
	/** For the title. */
	readonly name: string;
	readonly text: string;
	/** The instant to which it leads; undefined: there is none. */
	to(side: Side): number | undefined;
}

const WAYS: readonly Way[] = [
	{ key: "Home", name: "to the beginning (Home)", text: "⇤", to: () => 0 },
	{
		key: "ArrowLeft",
		name: "one step back (←)",
		text: "← back",
		to: ({ instant }) => (instant > 0 ? instant - 1 : undefined),
	},
	{
		key: "ArrowRight",
		name: "one step (→)",
		text: "step →",
		to: ({ instant, timeline }) => (instant < timeline.end ? instant + 1 : undefined),
	},
	{
		key: "s",
		name: "to the next switch of a task (s; back: S)",
		text: "next switch",
		to: ({ instant, timeline }) => timeline.find(instant, 1, (at) => timeline.switches(at)),
	},
	{
		key: "v",
		name: "to the next violation (v; back: V)",
		text: "next violation",
		to: ({ instant, timeline }) => timeline.find(instant, 1, (at) => timeline.breaks(at)),
	},
	{ key: "End", name: "to the end (End)", text: "⇥", to: ({ timeline }) => timeline.end },
];

const BACK: readonly Way[] = [
	{
		key: "S",
		name: "",
		text: "",
		to: ({ instant, timeline }) => timeline.find(instant, -1, (at) => timeline.switches(at)),
	},
	{
		key: "V",
		name: "",
		text: "",
		to: ({ instant, timeline }) => timeline.find(instant, -1, (at) => timeline.breaks(at)),
	},
];

export class Moment {
	readonly #app: App;

	constructor(app: App) {
		this.#app = app;
	}

	/** Keys work everywhere but in fields. */
	key(event: KeyboardEvent): void {
		const side = this.#app.active;
		const target = event.target as Element;
		if (side === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
		if (target.closest("input, select, textarea, [contenteditable], dialog, .editor") !== null) return;
		const vertical = event.key === "ArrowUp" ? "ArrowLeft" : event.key === "ArrowDown" ? "ArrowRight" : event.key;
		const way = [...WAYS, ...BACK].find(({ key }) => key === vertical);
		if (event.key === "e") side.diagram.toggleHere();
		else if (event.key === "o") this.#otherSide();
		else if (way === undefined) return;
		else this.#go(way, side);
		event.preventDefault();
	}

	#otherSide(): void {
		const { sides, active } = this.#app;
		const other = sides.find((side) => side !== active);
		if (other !== undefined) this.#app.select(other, other.instant);
	}

	#go(way: Way, side: Side): void {
		const instant = way.to(side);
		if (instant !== undefined) this.#app.select(side, instant);
	}

	render(side: Side): void {
		const { timeline, instant } = side;
		const event = timeline.recording.events[instant - 1];
		const changes = timeline.changes(instant).flatMap(tell);
		const shown = changes.slice(0, MOST_CHANGES);
		if (changes.length > shown.length) shown.push(`${changes.length - shown.length} more`);
		byId("moment").replaceChildren(
			h(
				"div",
				{ class: "ways", role: "toolbar", "aria-label": "Move in time" },
				...WAYS.map((way) => {
					const disabled = way.to(side) === undefined;
					return h(
						"button",
						{ type: "button", class: "plain", title: way.name, disabled, click: () => this.#go(way, side) },
						way.text,
					);
				}),
			),
			h(
				"p",
				{ class: "now" },
				h("strong", {}, timeline.recording.design),
				` ${instant} of ${timeline.end}: `,
				event === undefined
					? "the beginning"
					: `${event.who}${event.title === "" ? "" : `, ${event.title}`}: ${event.label}`,
			),
			h(
				"ul",
				{ class: "changes", "aria-label": "what changed with this step" },
				...shown.map((text) => h("li", {}, text)),
			),
		);
	}

	/** Where did a value come from? */
	asked(key: string, name: string, part?: Part): void {
		const { active } = this.#app;
		if (active === undefined) return;
		const { timeline, instant } = active;
		const since = timeline.since(key, instant, part);
		const event = since === undefined ? undefined : timeline.recording.events[since - 1];
		const came =
			event === undefined
				? "is as it was at the beginning"
				: `came with step ${since}: ${event.who}${event.title === "" ? "" : `, ${event.title}`}: ${event.label}`;
		const go = since === undefined || since === instant ? undefined : () => this.#app.select(active, since);
		byId("moment").querySelector(".origin")?.remove();
		byId("moment").append(
			h(
				"p",
				{ class: "origin", role: "status" },
				`${name} ${came}. `,
				go && h("button", { type: "button", class: "go", click: go }, "Go there"),
			),
		);
	}
}

/** A change in a line; nothing for those that others tell. */
function tell({ key, from, to }: Change): string[] {
	const name = key.slice(key.indexOf("/") + 1);
	if (key.startsWith("func_stack/")) {
		return [`${name}: func_stack ${stackText(to as string[])}, was ${stackText((from ?? []) as string[])}`];
	}
	if (key.startsWith("sysfs/")) return [`${name} ${from === undefined ? "appears" : `${from} → ${to ?? "gone"}`}`];
	if (key.startsWith("text/")) {
		return from === undefined || to === undefined || String(to).length > 20
			? []
			: [`code: ${spaced(String(from))} → ${spaced(String(to))}`];
	}
	if (!key.startsWith("lane/")) return [];
	const [before, after] = [from as LaneState | undefined, to as LaneState | undefined];
	if (after === undefined) return [];
	if (before === undefined) return [`${name} exists`];
	const parts: string[] = [];
	if (before.patch_state !== after.patch_state) {
		parts.push(`${stateName(before.patch_state)} → ${stateName(after.patch_state)}`);
	}
	if (before.pending !== after.pending) parts.push(`TIF_PATCH_PENDING ${after.pending ? "set" : "cleared"}`);
	if (placeText(before) !== placeText(after)) parts.push(`${placeText(before)} → ${placeText(after)}`);
	return parts.length === 0 ? [] : [`${name}: ${parts.join("; ")}`];
}
