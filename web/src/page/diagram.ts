/** The space-time diagram: time goes down, a lane for each task and actor. Only the rows in view are drawn. */
import type { BrokenAt, Lane, LaneState, Timeline } from "../shared/recording.js";
import { h, s } from "./dom.js";
import { type Row, rowsOf, stateName } from "./rows.js";

/** Sizes in pixels. */
const LINE = 22;
const MORE_LINE = 17;
const HEAD = 30;
/** Rows outside of the view that are drawn too. */
const MARGIN = 600;
const CHARACTER = 6.9;
/** Widths of lanes: with room for names of functions, for actors, and of many lanes. */
const WIDE = 57;
const ACTOR = 48;
const NARROW = 24;
const MANY = 14;

export interface DiagramEvents {
	/** An instant was chosen. */
	chosen(instant: number): void;
}

/** Where a row is. */
interface Placed {
	readonly row: Row;
	readonly index: number;
	readonly y: number;
	readonly height: number;
	/** The violations, in lines that fit. */
	readonly sentences: readonly string[];
}

export class Diagram {
	readonly element = h("div", { class: "diagram" });
	readonly #timeline: Timeline;
	readonly #events: DiagramEvents;
	readonly #lanes: readonly Lane[];
	readonly #laneOf: ReadonlyMap<string, number>;
	readonly #opened = new Set<number>();
	#placed: readonly Placed[] = [];
	#instant = 0;
	readonly #scroller: HTMLDivElement;
	readonly #canvas = h("div", { class: "canvas" });
	readonly #head = h("div", { class: "lanes", "aria-hidden": "true" });
	#textWidth = 0;
	/** Left edges of the lanes, and the right edge of the last. */
	#edges: readonly number[] = [0];
	#pending = false;

	constructor(timeline: Timeline, name: string, events: DiagramEvents) {
		this.#timeline = timeline;
		this.#events = events;
		this.#lanes = shownLanes(timeline);
		this.#laneOf = new Map(this.#lanes.map(({ name }, lane) => [name, lane]));
		this.#scroller = h(
			"div",
			{
				class: "scroller",
				role: "listbox",
				tabindex: 0,
				"aria-label": `${name}: the steps, in the order in which they are made`,
				scroll: () => this.#later(),
				click: (event: MouseEvent) => this.#clicked(event),
			},
			this.#head,
			this.#canvas,
		);
		this.element.append(this.#scroller);
		new ResizeObserver(() => this.#layout()).observe(this.element);
	}

	/** Shows an instant, and scrolls to it if it is out of sight. */
	show(instant: number, scroll: boolean): void {
		this.#instant = instant;
		if (scroll) this.#scrollTo(instant);
		this.#draw();
	}

	#layout(): void {
		const width = this.element.clientWidth;
		if (width === 0) return;
		const narrow = this.#lanes.length > MANY;
		const edges = [0];
		for (const { kind } of this.#lanes) edges.push(edges.at(-1)! + (narrow ? NARROW : kind === "actor" ? ACTOR : WIDE));
		this.#edges = edges;
		this.#textWidth = Math.max(170, Math.min(480, width - this.#lanesWidth - 10));
		const whole = this.#textWidth + this.#lanesWidth;
		this.#place();
		this.#canvas.style.width = `${whole}px`;
		this.#head.style.width = `${whole}px`;
		this.#head.classList.toggle("narrow", narrow);
		this.#head.replaceChildren(
			...this.#lanes.map(({ name, kind }, index) => {
				const label = h("span", { class: `lane ${kind}`, title: name }, shortName(name));
				label.style.left = `${this.#textWidth + this.#edges[index]!}px`;
				label.style.width = `${this.#edges[index + 1]! - this.#edges[index]!}px`;
				return label;
			}),
		);
		this.#scrollTo(this.#instant);
		this.#draw();
	}

	#place(): void {
		let y = HEAD;
		const room = Math.max(
			20,
			Math.floor((Math.min(this.element.clientWidth, this.#textWidth + this.#lanesWidth) - 34) / CHARACTER),
		);
		this.#placed = rowsOf(this.#timeline, this.#opened).map((row, index) => {
			const sentences = tellBroken(row.broken).flatMap((sentence) => wrapped(sentence, room));
			const height = LINE + MORE_LINE * (row.effects.length + sentences.length);
			const placed = { row, index, y, height, sentences };
			y += height;
			return placed;
		});
		this.#canvas.style.height = `${y + 8}px`;
	}

	/** The row that leads to an instant; instant 0 is before the first. */
	#rowAt(instant: number): Placed | undefined {
		const placed = this.#firstWhere(({ row }) => row.end >= instant);
		return placed !== undefined && instant > placed.row.first ? placed : undefined;
	}

	/** The first row with a property that all rows behind it have too. */
	#firstWhere(has: (placed: Placed) => boolean): Placed | undefined {
		let [low, high] = [0, this.#placed.length];
		while (low < high) {
			const middle = (low + high) >>> 1;
			if (has(this.#placed[middle]!)) high = middle;
			else low = middle + 1;
		}
		return this.#placed[low];
	}

	#scrollTo(instant: number): void {
		const placed = this.#rowAt(instant);
		const { clientHeight, scrollTop } = this.#scroller;
		if (placed === undefined) {
			if (instant === 0) this.#scroller.scrollTop = 0;
			return;
		}
		const inside = placed.y > scrollTop + HEAD && placed.y + placed.height < scrollTop + clientHeight;
		if (!inside) this.#scroller.scrollTop = placed.y - Math.max(HEAD, clientHeight * 0.6);
	}

	#later(): void {
		if (this.#pending) return;
		this.#pending = true;
		requestAnimationFrame(() => {
			this.#pending = false;
			this.#draw();
		});
	}

	#clicked(event: MouseEvent): void {
		const target = event.target as Element;
		const row = target.closest<HTMLElement>("[data-row]")?.dataset.row;
		const y = event.clientY - this.#canvas.getBoundingClientRect().top;
		const placed =
			row === undefined
				? this.#placed.find((one) => y >= one.y && y < one.y + one.height)
				: this.#placed.find((one) => one.row.first === Number(row));
		if (placed === undefined) return;
		if (target.closest(".count") !== null) this.toggle(placed.row.opened ?? placed.row.first);
		this.#events.chosen(placed.row.end);
	}

	/** Opens or closes the group that begins with an event. */
	toggle(first: number): void {
		if (!this.#opened.delete(first)) this.#opened.add(first);
		this.#place();
		this.#draw();
	}

	/** Opens or closes the group at the present instant. */
	toggleHere(): void {
		const row = this.#rowAt(this.#instant)?.row;
		if (row !== undefined) this.toggle(row.opened ?? row.first);
	}

	#draw(): void {
		const { scrollTop, clientHeight } = this.#scroller;
		const [top, bottom] = [scrollTop - MARGIN, scrollTop + clientHeight + MARGIN];
		const first = this.#firstWhere(({ y, height }) => y + height > top);
		const behind = this.#firstWhere(({ y }) => y >= bottom)?.index ?? this.#placed.length;
		const visible = first === undefined ? [] : this.#placed.slice(first.index, behind);
		const last = visible.at(-1);
		if (first === undefined || last === undefined) return;
		const height = last.y + last.height - first.y;
		const svg = s("svg", {
			class: "lines",
			width: this.#lanesWidth,
			height,
			"aria-hidden": "true",
		});
		svg.style.top = `${first.y}px`;
		svg.style.left = `${this.#textWidth}px`;
		svg.append(hatch());
		for (const [lane, { name }] of this.#lanes.entries()) this.#drawLane(svg, visible, first.y, lane, name);
		const here = this.#rowAt(this.#instant);
		for (const placed of visible) this.#drawMarks(svg, placed, first.y, placed === here);
		this.#canvas.replaceChildren(svg, ...visible.map((placed) => this.#text(placed, placed === here)));
		if (here === undefined) this.#scroller.removeAttribute("aria-activedescendant");
		else this.#scroller.setAttribute("aria-activedescendant", this.#idOf(here.row));
	}

	#idOf({ first }: Row): string {
		return `${this.#timeline.recording.source}-${this.#timeline.recording.design}-${first}`;
	}

	get #lanesWidth(): number {
		return this.#edges.at(-1)!;
	}

	#x(lane: number): number {
		return this.#edges[lane]! + 9;
	}

	/** The bar of a lane: stretches of equal state are one. */
	#drawLane(svg: SVGSVGElement, visible: readonly Placed[], top: number, lane: number, name: string): void {
		let from = 0;
		const stateOf = ({ row }: Placed) => this.#timeline.lane(name, row.end);
		for (let i = 1; i <= visible.length; i++) {
			const state = stateOf(visible[from]!);
			if (i < visible.length && sameState(state, stateOf(visible[i]!))) continue;
			const y = visible[from]!.y - top;
			const end = visible[i - 1]!;
			if (state !== undefined && state.where.kind !== "gone") {
				svg.append(...bar(state, this.#x(lane), y, end.y + end.height - top - y));
			}
			from = i;
		}
	}

	#drawMarks(svg: SVGSVGElement, { row, y, height }: Placed, top: number, chosen: boolean): void {
		const at = this.#laneOf.get(row.who) ?? -1;
		const middle = y - top + LINE / 2;
		if (chosen) {
			const width = this.#lanesWidth;
			svg.prepend(s("rect", { class: "cursor", x: 0, y: y - top, width, height }));
		}
		if (at < 0) return;
		const x = this.#x(at);
		for (const { to, what } of row.arrows) {
			const lane = this.#laneOf.get(to) ?? -1;
			if (lane < 0) continue;
			const target = this.#x(lane) + (lane > at ? -8 : 8);
			const tip = lane > at ? -5 : 5;
			svg.append(
				s("line", { class: "arrow", x1: x, y1: middle, x2: target, y2: middle }),
				s(
					"path",
					{ class: "head", d: `M${target} ${middle} l${tip} -3.5 v7 z` },
					s("title", {}, `${row.who} on ${to}: ${what}`),
				),
			);
		}
		svg.append(s("circle", { class: "mark", cx: x, cy: middle, r: 5.5 }));
		for (const { task } of row.broken) {
			const lane = this.#laneOf.get(task ?? row.who) ?? -1;
			if (lane < 0) continue;
			const d = `M${this.#x(lane) - 5} ${middle - 5} l10 10 m0 -10 l-10 10`;
			svg.append(s("path", { class: "cross", d }));
		}
	}

	#text({ row, index, y, height, sentences }: Placed, chosen: boolean): HTMLElement {
		const count = row.end - row.first;
		const previous = this.#placed[index - 1]?.row;
		const goesOn = previous !== undefined && previous.who === row.who && previous.title === row.title;
		const steps = count > 1 || row.opened !== undefined;
		const title = steps ? (row.opened === undefined ? `${count} steps: show each` : "show as one") : "";
		const element = h(
			"div",
			{
				class: `row${chosen ? " chosen" : ""}${row.broken.length > 0 ? " broken" : ""}${row.opened === undefined ? "" : " opened"}`,
				role: "option",
				id: this.#idOf(row),
				"aria-selected": chosen ? "true" : "false",
				"aria-setsize": this.#placed.length,
				"aria-posinset": index + 1,
				"data-row": row.first,
			},
			h(
				"span",
				{ class: "line" },
				steps ? h("span", { class: "count", title }, row.opened === undefined ? String(count) : "−") : undefined,
				h("span", { class: "who" }, goesOn ? "" : row.title === "" ? row.who : `${shortName(row.who)}: ${row.title}`),
				h("span", { class: "label", title: row.label }, row.label),
			),
			...row.effects.map((effect) => h("span", { class: "effect", title: effect }, effect)),
			...sentences.map((sentence) => h("span", { class: "sentence" }, sentence)),
		);
		element.style.top = `${y}px`;
		element.style.height = `${height}px`;
		element.style.width = `${this.#textWidth - 8}px`;
		for (const sentence of element.querySelectorAll<HTMLElement>(".sentence")) {
			sentence.style.width = `${this.#textWidth + this.#lanesWidth}px`;
		}
		return element;
	}
}

/** Idle tasks are shown only if they act, or break something. */
function shownLanes({ recording }: Timeline): Lane[] {
	const acting = new Set(recording.events.flatMap(({ who, broken }) => [who, ...broken.map(({ task }) => task)]));
	const there = recording.lanes.filter(({ name, kind }) => kind === "task" || acting.has(name));
	return there.filter(({ kind }) => kind !== "idle");
}

/** `kworker/0:1` -> `kworker` */
export function shortName(name: string): string {
	return name.replace(/^(kworker|swapper)\/\S*/, "$1");
}

function sameState(a: LaneState | undefined, b: LaneState | undefined): boolean {
	if (a === b) return true;
	if (a === undefined || b === undefined) return false;
	return a.patch_state === b.patch_state && a.where.kind === b.where.kind && a.where.text === b.where.text;
}

function hatch(): SVGDefsElement {
	return s(
		"defs",
		{},
		s(
			"pattern",
			{ id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
			s("rect", { class: "hatch-back", width: 5, height: 5 }),
			s("rect", { class: "hatch-line", width: 2, height: 5 }),
		),
	);
}

/** Characters of the place of a task. */
const MOST_PLACE = 11;
const WIDTH: Readonly<Record<LaneState["where"]["kind"], number>> = {
	user: 4,
	asleep: 10,
	function: 12,
	trampoline: 12,
	handler: 12,
	kernel: 8,
	host: 8,
	gone: 0,
};

function bar(state: LaneState, x: number, y: number, height: number): SVGElement[] {
	const { kind, text } = state.where;
	const width = WIDTH[kind];
	const name = stateName(state.patch_state);
	const place = { user: "in user mode", asleep: "asleep", trampoline: "on", handler: "in", function: "in" } as const;
	const told = `${name}, ${kind in place ? place[kind as keyof typeof place] : "in"} ${text}`.trim();
	const rect = s(
		"rect",
		{ class: `bar ${name} ${kind}`, x: x - width / 2, y, width, height, rx: 2 },
		s("title", {}, told),
	);
	if (text === "" || kind === "host" || height < 14) return [rect];
	const shown = text.replace("klp_ftrace_handler", "handler").replace("ftrace_trampoline", "tramp.");
	const cut = shown.length > MOST_PLACE ? `${shown.slice(0, MOST_PLACE - 1)}…` : shown;
	return [rect, s("text", { class: "place", x: x + 8, y: y + 14 }, cut)];
}

/** A sentence for each invariant: of its first task, with the names of the others. */
function tellBroken(broken: readonly BrokenAt[]): string[] {
	const first = new Map<string, BrokenAt>();
	for (const one of broken) if (!first.has(one.invariant)) first.set(one.invariant, one);
	return [...first.values()].map(({ invariant, message, task }) => {
		const others = broken.filter((one) => one.invariant === invariant && one.task !== task).map((one) => one.task);
		const more = [...new Set(others)].filter((name) => name !== undefined).join(", ");
		return `✗ ${invariant}: ${message}${more === "" ? "" : `; the same for ${more}`}`;
	});
}

function wrapped(text: string, room: number): string[] {
	const lines: string[] = [];
	let line = "";
	for (const word of text.split(" ")) {
		if (line !== "" && line.length + word.length + 1 > room) {
			lines.push(line);
			line = word;
		} else line = line === "" ? word : `${line} ${word}`;
	}
	return [...lines, line];
}
