/** Explores in the page: every schedule of the scenario, until one breaks something. */
import type { Explored } from "../../shared/protocol.js";
import type { App } from "../app.js";
import { EngineError } from "../client.js";
import { choice, h } from "../dom.js";
import type { Tool } from "./tool.js";

const BUDGETS = ["10000", "100000", "1000000"];
const EVERY = "every design";

export async function exploreTool(app: App): Promise<Tool> {
	const here = app.shown.design;
	let design = here;
	let budget = BUDGETS[1]!;
	let stopped = false;
	const every = h("input", { type: "checkbox" });
	const progress = h("p", { class: "progress", role: "status" }, "Not started.");
	const results = h("tbody");
	const start = h("button", { type: "button", class: "plain", click: () => void run() }, "Start");
	const stop = h("button", { type: "button", class: "plain", disabled: true, click: () => void end() }, "Stop");

	const end = async (): Promise<void> => {
		stopped = true;
		await (await app.explorer()).ask("stop", {});
	};

	const run = async (): Promise<void> => {
		stopped = false;
		start.disabled = true;
		stop.disabled = false;
		results.replaceChildren();
		const designs = design === EVERY ? app.designs.map(({ name }) => name) : [design];
		const begin = performance.now();
		try {
			const scenario = await app.scenarioText(app.shown);
			const client = await app.explorer();
			for (const name of designs) {
				if (stopped) break;
				const tell = (states: number) => {
					const seconds = ((performance.now() - begin) / 1000).toFixed(1);
					progress.textContent = `${name}: ${states.toLocaleString("en-US")} states, ${seconds} s`;
				};
				tell(0);
				const given = { scenario, design: name, budget: Number(budget), all: every.checked };
				try {
					results.append(...rowsOf(app, await client.ask("explore", given, tell)));
				} catch (error) {
					if (!(error instanceof EngineError)) throw error;
					results.append(
						h("tr", {}, h("td", {}, name), h("td", {}, "refused"), h("td", { colspan: 3 }, error.message)),
					);
				}
			}
			progress.textContent = stopped ? "Stopped." : "Done.";
		} catch (error) {
			app.problem(error);
			progress.textContent = "";
		} finally {
			start.disabled = false;
			stop.disabled = true;
		}
	};

	const options = [here, EVERY, ...app.designs.map(({ name }) => name).filter((name) => name !== here)];
	return {
		title: "Every schedule of this scenario",
		focus: start,
		close: () => void end(),
		body: [
			h(
				"div",
				{ class: "controls" },
				choice(
					"Design",
					options.map((name) => ({ value: name, text: name })),
					here,
					(value) => {
						design = value;
					},
				),
				choice(
					"At most",
					BUDGETS.map((value) => ({ value, text: `${Number(value).toLocaleString("en-US")} states` })),
					budget,
					(value) => {
						budget = value;
					},
				),
				h("label", { class: "choice" }, every, h("span", {}, "go on after the first violation")),
				start,
				stop,
			),
			progress,
			h(
				"div",
				{ class: "wide", tabindex: 0, role: "region", "aria-label": "results" },
				h(
					"table",
					{},
					h(
						"thead",
						{},
						h("tr", {}, ...["design", "verdict", "what breaks", "moves", "states"].map((name) => h("th", {}, name))),
					),
					results,
				),
			),
		],
	};
}

function rowsOf(app: App, { design, result, states, seconds, schedules, reason }: Explored): HTMLElement[] {
	const seen = `${states.toLocaleString("en-US")} in ${seconds.toFixed(1)} s`;
	const verdict = {
		complete: "complete: nothing breaks",
		bounded: "bounded",
		stopped: "stopped",
		violated: "violated",
	}[result];
	if (schedules.length === 0) {
		return [
			h(
				"tr",
				{},
				h("td", {}, design),
				h("td", {}, verdict),
				h("td", {}, reason ?? ""),
				h("td", {}, ""),
				h("td", {}, seen),
			),
		];
	}
	return schedules.map(({ invariant, message, moves, text }) => {
		const show = () => void app.open({ ...app.shown, design, schedule: text, at: undefined });
		const beside = () => void app.open({ ...app.shown, beside: text });
		return h(
			"tr",
			{},
			h("td", {}, design),
			h(
				"td",
				{},
				h("button", { type: "button", class: "go", click: show }, `show ${invariant}`),
				" ",
				h("button", { type: "button", class: "go", click: beside }, "beside this"),
			),
			h("td", {}, message),
			h("td", {}, String(moves)),
			h("td", {}, seen),
		);
	});
}
