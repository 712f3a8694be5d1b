/** All about one instant: what changed, func_stack with who sees which entry, code, a task's registers and stack, dmesg and sysfs. */
import type { CodeLine } from "../shared/protocol.js";
import {
	type Frames,
	KEY,
	type KernelStack,
	type LaneState,
	type Part,
	type RecordedFunction,
	type Registers,
	type Timeline,
} from "../shared/recording.js";
import { type Child, choice, h } from "./dom.js";
import { insnOf, spaced, stackText, stateName } from "./rows.js";

export interface PanelEvents {
	/** A value was clicked: where did it come from? */
	asked(key: string, name: string, part?: Part): void;
	task(name: string): void;
	code(instant: number, address: number): Promise<readonly CodeLine[]>;
}

const REGISTERS = [
	...["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"],
	...["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"],
	...["rip", "rflags"],
] as const;
/** Their place in the recorded words. */
const WORD: Readonly<Record<(typeof REGISTERS)[number], number>> = {
	...{ rax: 0, rcx: 1, rdx: 2, rbx: 3, rsp: 4, rbp: 5, rsi: 6, rdi: 7 },
	...{ r8: 8, r9: 9, r10: 10, r11: 11, r12: 12, r13: 13, r14: 14, r15: 15, rip: 16, rflags: 17 },
};
/** Words of a stack, and lines of dmesg, that are shown. */
const MOST_WORDS = 40;
const MOST_LINES = 60;

export function address(value: number | bigint): string {
	return BigInt.asUintN(64, BigInt(value)).toString(16).padStart(16, "0");
}

/** The recording beside the one of the panel, at the same move. */
export interface Beside {
	readonly timeline: Timeline;
	readonly instant: number;
	/** Its design, or its schedule. */
	readonly name: string;
}

/** The value there, if it is another one. */
function differs(beside: Beside | undefined, here: string, there: (timeline: Timeline, instant: number) => string) {
	if (beside === undefined) return undefined;
	const other = there(beside.timeline, beside.instant);
	return other === here ? undefined : h("p", { class: "differs" }, `≠ ${beside.name}: `, h("code", {}, other));
}

export class Panel {
	readonly #timeline: Timeline;
	readonly #events: PanelEvents;
	/** The function whose code is shown; undefined: that of the first function. */
	#func: string | undefined = undefined;
	#codeTurn = 0;

	constructor(timeline: Timeline, events: PanelEvents) {
		this.#timeline = timeline;
		this.#events = events;
	}

	/** The sections for an instant. `beside`: what is marked where it differs. */
	sections(instant: number, task: string, beside: Beside | undefined): HTMLElement[] {
		return [
			this.#stacks(instant, beside),
			this.#code(instant, task, beside),
			this.#guest(instant, task, beside),
			this.#logs(instant, beside),
		];
	}

	/** A value that can be asked for its origin. */
	#value(key: string, name: string, instant: number, ...shown: Child[]): HTMLElement {
		return this.#part(key, name, this.#timeline.changedAt(key, instant), undefined, ...shown);
	}

	/** A part of a value, as one register. */
	#part(key: string, name: string, changed: boolean, part: Part | undefined, ...shown: Child[]): HTMLElement {
		const attributes = {
			class: changed ? "value changed" : "value",
			type: "button",
			title: `${name}: where did it come from?`,
		};
		return h("button", { ...attributes, click: () => this.#events.asked(key, name, part) }, ...shown);
	}

	#stacks(instant: number, beside: Beside | undefined): HTMLElement {
		const { functions } = this.#timeline.recording;
		const blocks = functions.map((func) => {
			const stackOf = (timeline: Timeline, at: number) => (timeline.at(KEY.stack(func), at) ?? []) as readonly string[];
			const stack = stackOf(this.#timeline, instant);
			return h(
				"div",
				{ class: "stack" },
				h("h3", {}, this.#value(KEY.stack(func), `func_stack of ${func}`, instant, func)),
				h("ol", {}, ...this.#entries(func, stack, instant)),
				differs(beside, stackText(stack), (timeline, at) => stackText(stackOf(timeline, at))),
			);
		});
		const about = transitionAt(this.#timeline, instant);
		const other = differs(beside, about, transitionAt);
		return section("func_stack, and who sees which entry", h("p", { class: "about" }, about), other, ...blocks);
	}

	/** The entries, newest first, and the original; each with the tasks whose calls run it. */
	#entries(func: string, stack: readonly string[], instant: number): HTMLElement[] {
		const { recording } = this.#timeline;
		const index = recording.functions.indexOf(func);
		const views = this.#timeline.at(KEY.views, instant) as readonly (readonly string[])[] | undefined;
		const sees = new Map<string, string[]>();
		for (const { name, kind } of recording.lanes) {
			const lane = this.#timeline.lane(name, instant);
			if (kind !== "task" || lane === undefined || lane.where.kind === "gone") continue;
			const what = views?.[lane.patch_state + 1]?.[index] ?? "original";
			sees.set(what, [...(sees.get(what) ?? []), name]);
		}
		const entry = (name: string, runs: string, first: boolean) => {
			const tasks = first ? (sees.get(runs) ?? []) : [];
			const chips = tasks.map((task) => this.#chip(task, instant));
			return h(
				"li",
				{ class: tasks.length > 0 ? "seen" : "" },
				h("code", {}, name),
				h("span", { class: "tasks" }, ...chips),
			);
		};
		const nop = stack.indexOf("nop");
		const entries = stack.map((name, at) =>
			entry(name === "nop" ? "nop" : name, name === "nop" ? "original" : name, stack.indexOf(name) === at),
		);
		return [...entries, entry("original", "original", nop < 0)];
	}

	#chip(task: string, instant: number): HTMLElement {
		const lane = this.#timeline.lane(task, instant)!;
		const changed = this.#timeline.changedAt(KEY.lane(task), instant) ? " changed" : "";
		const state = stateName(lane.patch_state);
		const title = `${task}: ${state}${lane.pending ? ", TIF_PATCH_PENDING" : ""}; ${placeText(lane)}`;
		return h(
			"button",
			{ type: "button", class: `chip ${state}${changed}`, title, click: () => this.#events.task(task) },
			task,
		);
	}

	#code(instant: number, task: string, beside: Beside | undefined): HTMLElement {
		const { functions } = this.#timeline.recording;
		const regs = this.#timeline.at(KEY.regs(task), instant) as Registers | undefined;
		const options = functions.map((name) => ({ value: name, text: `call site of ${name}` }));
		if (regs !== undefined) options.push({ value: "", text: `where ${task} is` });
		const wanted = this.#func ?? functions[0] ?? "";
		const chosen = options.some(({ value }) => value === wanted) ? wanted : (options[0]?.value ?? "");
		const lines = h("div", { class: "code", tabindex: 0, role: "region", "aria-label": "instructions" });
		const fill = () => void this.#fillCode(lines, instant, chosen, regs);
		const pick = choice("code", options, chosen, (value) => {
			this.#func = value;
			this.#events.task(task);
		});
		if (options.length > 0) fill();
		const here = siteAt(this.#timeline, instant, chosen);
		const other = chosen === "" ? undefined : differs(beside, here, (timeline, at) => siteAt(timeline, at, chosen));
		return section("Machine code", pick, other, lines);
	}

	async #fillCode(into: HTMLElement, instant: number, func: string, regs: Registers | undefined): Promise<void> {
		const turn = ++this.#codeTurn;
		const where = this.#timeline.at(KEY.func(func), instant) as RecordedFunction | undefined;
		const rip = regs === undefined ? undefined : Number(BigInt.asIntN(32, regs[16]!));
		const start = func === "" ? rip : where?.address;
		if (start === undefined) {
			into.replaceChildren(h("p", { class: "none" }, `${func} is not loaded`));
			return;
		}
		const blocks = [await this.#events.code(instant, start)];
		const target = blocks[0]!.find(({ site, target: to }) => site && to !== undefined)?.target;
		if (target !== undefined) blocks.push(await this.#events.code(instant, target));
		// Another instant was chosen meanwhile.
		if (turn !== this.#codeTurn) return;
		const rows = blocks.flat().flatMap((line) => this.#codeLine(line, instant));
		into.replaceChildren(...(rows.length === 0 ? [h("p", { class: "none" }, "not in the recorded code")] : rows));
		into.querySelector(".here")?.scrollIntoView({ block: "nearest" });
	}

	#codeLine(line: CodeLine, instant: number): HTMLElement[] {
		const here = this.#timeline.recording.lanes.flatMap(({ name }) => {
			const regs = this.#timeline.at(KEY.regs(name), instant) as Registers | undefined;
			return regs !== undefined && Number(BigInt.asIntN(32, regs[16]!)) === line.address ? [name] : [];
		});
		const row = h(
			"div",
			{ class: `insn${line.changed ? " changed" : ""}${here.length > 0 ? " here" : ""}${line.site ? " site" : ""}` },
			h("span", { class: "address" }, address(line.address).slice(8)),
			h("span", { class: "bytes" }, spaced(line.bytes)),
			h("span", { class: "text" }, line.text.replace(/0xffffffff[0-9a-f]{8} (<[^>]+>)/, "$1")),
			line.site ? h("span", { class: "tag" }, "fentry site") : undefined,
			here.length > 0 ? h("span", { class: "next" }, `◀ ${here.join(", ")}`) : undefined,
		);
		return line.label === undefined ? [row] : [h("div", { class: "name" }, `<${line.label}>`), row];
	}

	#guest(instant: number, task: string, beside: Beside | undefined): HTMLElement {
		const names = this.#timeline.recording.lanes.filter(({ kind }) => kind === "task").map(({ name }) => name);
		const pick = choice(
			"task",
			names.map((name) => ({ value: name, text: name })),
			task,
			(name) => this.#events.task(name),
		);
		const lane = this.#timeline.lane(task, instant);
		if (lane === undefined)
			return section("Task", pick, h("p", { class: "none" }, "it does not exist at this instant"));
		const state = this.#value(KEY.lane(task), `${task}'s state`, instant, laneText(lane));
		const otherState = differs(beside, laneText(lane), (timeline, at) => laneText(timeline.lane(task, at)));
		const regs = this.#timeline.at(KEY.regs(task), instant) as Registers | undefined;
		const frames = this.#timeline.at(KEY.frames(task), instant) as Frames | undefined;
		const stack = this.#timeline.at(KEY.kstack(task), instant) as KernelStack | undefined;
		if (regs === undefined) {
			return section(
				"Task",
				pick,
				h("p", {}, state),
				otherState,
				h("p", { class: "none" }, "in user mode: its kernel stack is empty"),
			);
		}
		const before = this.#timeline.at(KEY.regs(task), Math.max(0, instant - 1)) as Registers | undefined;
		const cells = REGISTERS.map((name) => {
			const word = regs[WORD[name]]!;
			const changed = before !== undefined && before[WORD[name]] !== word;
			const part: Part = (value) => (value as Registers | undefined)?.[WORD[name]];
			const value = this.#part(KEY.regs(task), `${task}'s ${name}`, false, part, address(word));
			return h("span", { class: changed ? "register changed" : "register" }, h("b", {}, name), value);
		});
		return section(
			"Task",
			pick,
			h("p", {}, state),
			otherState,
			h("h3", {}, "Frames, as the unwinder finds them"),
			...framesOf(frames),
			differs(beside, framesText(frames), (timeline, at) =>
				framesText(timeline.at(KEY.frames(task), at) as Frames | undefined),
			),
			h("h3", {}, this.#value(KEY.regs(task), `${task}'s registers`, instant, "Registers")),
			h("div", { class: "registers" }, ...cells),
			h("h3", {}, this.#value(KEY.kstack(task), `${task}'s stack`, instant, "Stack")),
			h(
				"div",
				{ class: "words", tabindex: 0, role: "region", "aria-label": "words of the stack" },
				...this.#words(stack, frames, task, instant),
			),
		);
	}

	#words(stack: KernelStack | undefined, frames: Frames | undefined, task: string, instant: number): HTMLElement[] {
		if (stack === undefined) return [];
		const before = this.#timeline.at(KEY.kstack(task), Math.max(0, instant - 1)) as KernelStack | undefined;
		const returns = new Map((frames?.frames ?? []).map(({ symbol, address: to }) => [to, symbol]));
		return [...stack.words].slice(0, MOST_WORDS).map((word, index) => {
			const at = stack.sp + 8 * index;
			const old = before?.words[(at - before.sp) / 8];
			const name = returns.get(Number(BigInt.asIntN(32, word)));
			const frame = word >> 32n === 0xffffffffn && name !== undefined ? name : "";
			return h(
				"span",
				{ class: `word${before !== undefined && old !== word ? " changed" : ""}` },
				h("span", { class: "address" }, address(at).slice(8)),
				this.#part(KEY.kstack(task), `${task}'s word at ${address(at)}`, false, wordAt(at), address(word)),
				h("span", { class: "symbol" }, frame === "" ? "" : `↩ ${frame}`),
			);
		});
	}

	#logs(instant: number, beside: Beside | undefined): HTMLElement {
		const count = (this.#timeline.at(KEY.dmesg, instant) ?? 0) as number;
		const old = (this.#timeline.at(KEY.dmesg, Math.max(0, instant - 1)) ?? 0) as number;
		const first = Math.max(0, count - MOST_LINES);
		const lines = this.#timeline.recording.dmesg.slice(first, count);
		const list = h(
			"div",
			{ class: "dmesg", tabindex: 0, role: "region", "aria-label": "messages" },
			...lines.map((line, index) => h("div", { class: first + index >= old && instant > 0 ? "changed" : "" }, line)),
		);
		queueMicrotask(() => list.scrollTo(0, list.scrollHeight));
		const files = this.#timeline.keys("sysfs/", instant).map((key) => {
			const path = key.slice("sysfs/".length);
			const value = sysfsAt(this.#timeline, instant, key);
			const other = differs(beside, value, (timeline, at) => sysfsAt(timeline, at, key));
			return h("li", {}, h("code", {}, path), this.#value(key, path, instant, value), other);
		});
		const missing = (beside?.timeline.keys("sysfs/", beside.instant) ?? [])
			.filter((key) => this.#timeline.at(key, instant) === undefined)
			.map((key) =>
				h(
					"li",
					{},
					h("code", {}, key.slice("sysfs/".length)),
					differs(beside, "not there", (timeline, at) => sysfsAt(timeline, at, key)),
				),
			);
		return section(
			"dmesg and sysfs",
			lines.length === 0 ? h("p", { class: "none" }, "dmesg is empty") : list,
			differs(beside, lines.at(-1) ?? "nothing", lastMessage),
			h("h3", {}, "/sys/kernel/livepatch"),
			h("ul", { class: "files" }, ...files, ...missing),
		);
	}
}

function transitionAt(timeline: Timeline, instant: number): string {
	const transition = timeline.at(KEY.inTransition, instant) as string | undefined;
	return transition === undefined ? "no transition is running" : `${transition}'s transition is running`;
}

/** What a function's call site holds: the address that it calls is another one in each run. */
function siteAt(timeline: Timeline, instant: number, func: string): string {
	const there = timeline.at(KEY.func(func), instant) as RecordedFunction | undefined;
	if (there === undefined) return "not loaded";
	const bytes = timeline.at(KEY.text(there.site), instant) as string | undefined;
	return insnOf(bytes ?? "");
}

function sysfsAt(timeline: Timeline, instant: number, key: string): string {
	return String(timeline.at(key, instant) ?? "not there");
}

function lastMessage(timeline: Timeline, instant: number): string {
	const count = (timeline.at(KEY.dmesg, instant) ?? 0) as number;
	return timeline.recording.dmesg[count - 1] ?? "nothing";
}

function framesText(frames: Frames | undefined): string {
	return frames === undefined ? "none" : frames.frames.map(({ symbol }) => symbol).join(" ← ");
}

/** The word at an address of a stack. */
function wordAt(at: number): Part {
	return (value) => {
		const stack = value as KernelStack | undefined;
		return stack?.words[(at - stack.sp) / 8];
	};
}

function laneText(lane: LaneState | undefined): string {
	if (lane === undefined) return "it does not exist";
	return `${stateName(lane.patch_state)}${lane.pending ? ", TIF_PATCH_PENDING" : ""}; ${placeText(lane)}`;
}

function framesOf(frames: Frames | undefined): HTMLElement[] {
	if (frames === undefined) return [];
	const list = h("ol", { class: "frames" }, ...frames.frames.map(({ symbol }) => h("li", {}, h("code", {}, symbol))));
	if (frames.reliable) return [list];
	return [list, h("p", { class: "warning" }, `unreliable: ${frames.reason}`)];
}

export function placeText({ where: { kind, text } }: LaneState): string {
	if (kind === "user") return text === "" ? "in user mode" : text;
	if (kind === "asleep") return text === "" ? "asleep" : `asleep in ${text}`;
	if (kind === "trampoline") return `on ${text}`;
	return kind === "gone" ? "gone" : `in ${text}`;
}

function section(title: string, ...children: readonly Child[]): HTMLElement {
	return h("section", { class: "card", "aria-label": title }, h("h2", {}, title), ...children);
}
