/** What is on the screen, and all that the user does to it. */
import type { DesignInfo, Manifest, ScenarioText } from "../shared/protocol.js";
import { Timeline } from "../shared/recording.js";
import { Client, EngineError } from "./client.js";
import { byId, choice, h } from "./dom.js";
import { linkOf, readLink, type Shown } from "./link.js";
import { Moment } from "./moment.js";
import { Panel } from "./panel.js";
import { Side, type SideEvents, verdictOf } from "./side.js";
import { designsTool } from "./tools/designs.js";
import { exploreTool } from "./tools/explore.js";
import { filesTool, takeFiles } from "./tools/files.js";
import { keysTool } from "./tools/keys.js";
import { notebookTool } from "./tools/notebook.js";
import { Drawer, type MakeTool } from "./tools/tool.js";

type Option = { readonly value: string; readonly text: string };

/** The invariant that a schedule breaks; undefined: there is no schedule. */
function brokenBy(schedule: string | undefined): string | undefined {
	return schedule && /^invariant: (\S+)$/m.exec(schedule)?.[1];
}

/** Tells two schedules of one design apart. */
function nameOf(design: string, invariant: string | undefined): string {
	return `${design}, ${invariant ?? "one run"}`;
}

/** The instant of `other` at which the move of `side` has been made. Behind the schedule there are no common moves. */
function sameMove(side: Side, other: Side): number {
	const move = side.moveAt(side.instant);
	return side.instant === 0 ? 0 : move >= 0 ? other.instantOf(move) : other.instant;
}

/** Two schedules have only their first steps in common. */
function sameStep(side: Side, other: Side): number {
	const common = side.timeline.inCommon(other.timeline);
	return side.instant <= common ? side.instant : Math.max(other.instant, common);
}

export class App {
	client = new Client();
	/** The worker records something. */
	#recording = false;
	manifest!: Manifest;
	designs: readonly DesignInfo[] = [];
	shown!: Shown;
	sides: Side[] = [];
	/** The side whose instant the panel shows. */
	active: Side | undefined = undefined;
	readonly drawer = new Drawer(this);
	/** Files of the user, by name. */
	readonly files = new Map<string, Uint8Array>();
	readonly #moment = new Moment(this);
	/** A second worker, so that the first one answers while schedules are explored. */
	#explorer: Promise<Client> | undefined = undefined;
	#panel: Panel | undefined = undefined;
	/** What is opened, by number: only the last one is shown. */
	#turn = 0;
	/** Links, by number. */
	#link = 0;

	async start(): Promise<void> {
		addEventListener("hashchange", () => void this.#fromLink());
		addEventListener("keydown", (event) => this.#moment.key(event));
		addEventListener("dragover", (event) => event.preventDefault());
		addEventListener("drop", (event) => {
			event.preventDefault();
			void takeFiles(this, event.dataTransfer?.files ?? []);
		});
		try {
			const { manifest, designs } = await this.client.ask("begin", { base: document.baseURI });
			this.manifest = manifest;
			this.designs = designs;
		} catch (error) {
			this.problem(error);
			return;
		}
		await this.#fromLink();
	}

	/** The worker for explorations. */
	explorer(): Promise<Client> {
		this.#explorer ??= (async () => {
			const client = new Client();
			await client.ask("begin", { base: document.baseURI });
			await client.ask("addFiles", { files: this.#ownFiles() });
			return client;
		})();
		return this.#explorer;
	}

	async #restart(): Promise<void> {
		this.client.end();
		this.client = new Client();
		await this.client.ask("begin", { base: document.baseURI });
		await this.client.ask("addFiles", { files: this.#ownFiles() });
	}

	#ownFiles() {
		return [...this.files].map(([name, bytes]) => ({ name, bytes }));
	}

	/** Makes files known that scenarios can name. */
	async addFiles(files: readonly { readonly name: string; readonly bytes: Uint8Array }[]): Promise<void> {
		for (const { name, bytes } of files) this.files.set(name, bytes);
		const clients = [this.client, ...(this.#explorer === undefined ? [] : [await this.#explorer])];
		for (const client of clients) await client.ask("addFiles", { files: this.#ownFiles() });
	}

	/** The last link counts: what comes of an earlier one later is not shown. */
	async #fromLink(): Promise<void> {
		const link = ++this.#link;
		try {
			const shown = await readLink(location.hash);
			if (this.shown !== undefined && (await linkOf(this.shown)) === (await linkOf(shown))) return;
			if (link === this.#link) await this.open(shown);
		} catch (error) {
			if (link !== this.#link) return;
			this.#turn++;
			document.body.classList.remove("busy");
			this.problem(error);
		}
	}

	/** Shows an error in the words of the engine; undefined: there is none any more. */
	problem(error: unknown): void {
		const element = byId("problem");
		element.hidden = error === undefined;
		if (error === undefined) return;
		const { problem } = error instanceof EngineError ? error : { problem: undefined };
		element.replaceChildren(
			h("strong", {}, problem?.message ?? (error instanceof Error ? error.message : String(error))),
			...(problem?.where === undefined ? [] : [h("code", {}, problem.where)]),
			...(problem?.hint === undefined ? [] : [h("span", {}, problem.hint)]),
		);
	}

	async scenarioText({ scenario, text }: Shown): Promise<ScenarioText> {
		return { fileName: scenario, text: text ?? (await this.#fetched(scenario)) };
	}

	async #fetched(path: string): Promise<string> {
		const known = [...this.manifest.scenarios, ...this.manifest.schedules].some((one) => one.path === path);
		if (!known) throw new Error(`the page has no file '${path}'`);
		const response = await fetch(new URL(`data/${path}`, document.baseURI));
		if (!response.ok) throw new Error(`cannot fetch ${path}: ${response.status}`);
		return response.text();
	}

	/** Text of a schedule; undefined: the scenario is run. */
	async #scheduleText(schedule: string): Promise<string | undefined> {
		if (schedule === "run") return undefined;
		return schedule.includes("\n") ? schedule : this.#fetched(schedule);
	}

	/** Records what `shown` says, and shows it. */
	async open(shown: Shown): Promise<void> {
		const turn = ++this.#turn;
		this.shown = shown;
		this.problem(undefined);
		document.body.classList.add("busy");
		this.#toolbar();
		this.#title();
		const old = this.sides;
		this.sides = [];
		try {
			const scenario = await this.scenarioText(shown);
			const schedule = await this.#scheduleText(shown.schedule);
			const wanted = brokenBy(schedule);
			const design = shown.design || this.#designOf(shown);
			// A run may take for ever: what was asked for last does not wait for it.
			if (this.#recording) await this.#restart();
			this.#recording = true;
			const opened = await this.client.ask("record", { scenario, design, schedule });
			this.#recording = false;
			if (turn !== this.#turn) return;
			const other = shown.beside !== "" && !this.#isDesign(shown.beside);
			const first = new Side(opened, other ? nameOf(design, wanted) : design, wanted, this.#events);
			this.#add(first);
			this.select(this.sides[0]!, shown.at ?? this.sides[0]!.beginning(wanted));
			if (shown.beside !== "") {
				const second = await this.#beside(shown, first);
				if (turn !== this.#turn) return;
				this.#add(second);
				this.select(first, first.instant);
			}
		} catch (error) {
			if (turn !== this.#turn) return;
			this.#recording = false;
			this.problem(error);
		} finally {
			for (const { id } of old) void this.client.ask("forget", { recording: id });
			if (turn === this.#turn) document.body.classList.remove("busy");
		}
	}

	/** Another design makes the moves of the same schedule, or the scenario is shown on another schedule. */
	async #beside({ beside, ...shown }: Shown, first: Side): Promise<Side> {
		if (this.#isDesign(beside)) {
			const opened = await this.client.ask("follow", { recording: first.id, design: beside });
			return new Side(opened, beside, brokenBy(await this.#scheduleText(shown.schedule)), this.#events);
		}
		const schedule = await this.#scheduleText(beside);
		const wanted = brokenBy(schedule);
		const scenario = await this.scenarioText({ ...shown, beside });
		const design = (schedule && /^design: (\S+)$/m.exec(schedule)?.[1]) ?? first.timeline.recording.design;
		const opened = await this.client.ask("record", { scenario, design, schedule });
		const common = first.timeline.inCommon(new Timeline(opened.recording));
		const more = [
			`The first ${common} steps are the same; behind them, each side moves by itself (o: the other side).`,
		];
		return new Side(opened, nameOf(design, wanted), wanted, this.#events, more);
	}

	#isDesign(name: string): boolean {
		return this.designs.some((design) => design.name === name);
	}

	#designOf({ scenario }: Shown): string {
		return this.manifest.scenarios.find(({ path }) => path === scenario)?.design ?? "mainline";
	}

	readonly #events: SideEvents = { chosen: (side, instant) => this.select(side, instant) };

	#add(side: Side): void {
		this.sides.push(side);
		byId("sides").replaceChildren(...this.sides.map(({ element }) => element));
		byId("sides").classList.toggle("two", this.sides.length === 2);
		this.#answer();
	}

	/** Goes to an instant of a side; the other side goes to the same move. */
	select(side: Side, instant: number): void {
		const known = this.active === side;
		this.active = side;
		side.show(instant);
		for (const other of this.sides) {
			other.element.classList.toggle("active", other === side);
			if (other === side) continue;
			other.show(this.#isDesign(this.shown.beside) ? sameMove(side, other) : sameStep(side, other));
		}
		if (!known || this.#panel === undefined) this.#panel = this.#makePanel(side);
		this.render();
		this.#saveLink();
	}

	#makePanel(side: Side): Panel {
		return new Panel(side.timeline, {
			asked: (key, name, part) => this.#moment.asked(key, name, part),
			task: (task) => {
				this.shown = { ...this.shown, task };
				this.render();
				this.#saveLink();
			},
			code: (instant, address) => this.client.ask("code", { recording: side.id, instant, address }),
		});
	}

	/** The task of the panel: the chosen one, else that of the violation, else the first that is in the kernel. */
	get task(): string {
		const side = this.active!;
		const lanes = side.timeline.recording.lanes.filter(({ kind }) => kind === "task");
		if (lanes.some(({ name }) => name === this.shown.task)) return this.shown.task;
		const acting = side.timeline.recording.events[side.instant - 1]?.who;
		const inKernel = lanes.find(({ name }) => side.timeline.at(`regs/${name}`, side.instant) !== undefined);
		return (lanes.find(({ name }) => name === acting) ?? inKernel ?? lanes[0])?.name ?? "";
	}

	render(): void {
		const side = this.active;
		if (side === undefined) return;
		this.#moment.render(side);
		const other = this.sides.find((one) => one !== side);
		const beside = other && { timeline: other.timeline, instant: other.instant, name: other.name };
		byId("panel").replaceChildren(...this.#panel!.sections(side.instant, this.task, beside));
	}

	#saveLink(): void {
		this.shown = { ...this.shown, at: this.sides[0]?.instant };
		void linkOf(this.shown).then((link) => history.replaceState(undefined, "", `#${link}`));
	}

	/** The answer in one line, when both sides are known. */
	#answer(): void {
		const verdicts = this.sides.map(({ timeline, name }) => {
			const { broken } = verdictOf(timeline);
			return h("span", { class: broken ? "bad" : "good" }, `${name}: ${broken ? "no" : "yes"}. `);
		});
		byId("answer").replaceChildren(...(this.sides.length === 2 ? verdicts : []));
	}

	#title(): void {
		const { scenario, text } = this.shown;
		const isMail = text === undefined && /hybrid-lp1-lp2-lp3|rfc-petr/.test(scenario);
		const title = this.manifest.scenarios.find(({ path }) => path === scenario)?.title ?? scenario;
		byId("title").textContent = isMail
			? "lp1 must stay, lp2 may be replaced, lp3 replaces. Does every task keep a consistent view?"
			: `${title}: is every task's view consistent?`;
		const mail = "https://lore.kernel.org/live-patching/Z5eYzcF5JLR4o5Yl@pathway.suse.cz";
		const about = isMail
			? [
					h("a", { href: mail, rel: "noreferrer" }, "Petr Mladek's counterexample"),
					" to the hybrid-mode RFC, run in this page on real machine code. Time goes down; a lane is a task or an actor of the kernel.",
				]
			: ["Time goes down; each lane is a task or an actor of the kernel."];
		const help = h("a", { href: "./docs/page.html" }, "How to read it");
		byId("about").replaceChildren(...about, " ", help, this.#legend());
	}

	#legend(): HTMLElement {
		const keys = [
			["IDLE", "no transition"],
			["UNPATCHED", "UNPATCHED"],
			["PATCHED", "PATCHED"],
		];
		return h(
			"span",
			{ class: "legend" },
			...keys.map(([name, text]) => h("span", { class: `key ${name}` }, text)),
			h("span", { class: "key cross" }, "breaks an invariant"),
		);
	}

	#toolbar(): void {
		const { scenario, text, design, beside, schedule } = this.shown;
		const go = (part: Partial<Shown>) => void this.open({ ...this.shown, at: undefined, ...part });
		const scenarios = this.manifest.scenarios.map(({ path, title }) => ({ value: path, text: title }));
		if (text !== undefined) scenarios.unshift({ value: scenario, text: `${scenario} (your own)` });
		const designs = this.designs.map(({ name }) => ({ value: name, text: name }));
		const saved = this.manifest.schedules.filter((one) => one.scenario === scenario && one.design === design);
		const schedules = [
			{ value: "run", text: "one run, by its seed" },
			...(text === undefined ? saved.map((one) => ({ value: one.path, text: `breaks ${one.invariant}` })) : []),
		];
		if (!schedules.some(({ value }) => value === schedule)) schedules.push({ value: schedule, text: "found here" });
		byId("toolbar").replaceChildren(
			choice("Scenario", scenarios, scenario, (path) => {
				const found = this.manifest.scenarios.find((one) => one.path === path)!;
				go({ scenario: path, text: undefined, design: found.design, schedule: "run", beside: "", task: "" });
			}),
			choice("Design", designs, design, (name) => {
				const other = this.manifest.schedules.find((one) => one.scenario === scenario && one.design === name);
				go({ design: name, schedule: (text === undefined && schedule !== "run" && other?.path) || "run" });
			}),
			choice("Schedule", schedules, schedule, (path) => go({ schedule: path })),
			choice("Beside it", this.#besides(designs, schedules), beside, (name) => go({ beside: name })),
			h("div", { class: "tools" }, ...this.#tools()),
		);
	}

	/** Other designs on the same schedule, and other schedules. */
	#besides(designs: readonly Option[], schedules: readonly Option[]): Option[] {
		const { schedule, scenario, text, design, beside } = this.shown;
		const known = new Set(schedules.map(({ value }) => value));
		const saved = text === undefined ? this.manifest.schedules.filter((one) => one.scenario === scenario) : [];
		const all: Option[] = [
			{ value: "", text: "nothing" },
			...designs.map(({ value, text: name }) => ({ value, text: `${name}, same moves` })),
			...schedules.map(({ value, text: what }) => ({ value, text: `${design}, ${what}` })),
			...saved
				.filter(({ path }) => !known.has(path))
				.map((one) => ({ value: one.path, text: `${one.design}, breaks ${one.invariant}` })),
		].filter(({ value }) => value !== schedule);
		if (!all.some(({ value }) => value === beside)) all.push({ value: beside, text: "found here" });
		return all;
	}

	#tools(): HTMLElement[] {
		// The editor is half of the page's code: it comes when it is wanted.
		const edit: MakeTool = async () => (await import("./tools/edit.js")).editTool(this);
		const tools: readonly [string, MakeTool][] = [
			["Each design", designsTool],
			["Explore", exploreTool],
			["Edit", edit],
			["Your livepatch", (app) => filesTool(app)],
			["Notebook", notebookTool],
			["Keys", keysTool],
		];
		const open = (make: MakeTool) => () => {
			const link = this.#link;
			void this.drawer.show(make).catch((error: unknown) => link === this.#link && this.problem(error));
		};
		const buttons = tools.map(([name, make]) =>
			h("button", { type: "button", class: "plain", click: open(make) }, name),
		);
		const copy = h("button", { type: "button", class: "plain", click: () => void this.#copyLink(copy) }, "Copy link");
		return [...buttons, copy];
	}

	async #copyLink(button: HTMLButtonElement): Promise<void> {
		const link = new URL(`#${await linkOf(this.shown)}`, location.href).href;
		try {
			await navigator.clipboard.writeText(link);
			button.textContent = "Copied";
		} catch {
			history.replaceState(undefined, "", link);
			button.textContent = "It is in the address bar";
		}
		setTimeout(() => {
			button.textContent = "Copy link";
		}, 2000);
	}
}
