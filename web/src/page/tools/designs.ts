/** What would each design have made of the same schedule? */
import { Timeline } from "../../shared/recording.js";
import type { App } from "../app.js";
import { EngineError } from "../client.js";
import { h } from "../dom.js";
import { verdictOf } from "../side.js";
import type { Tool } from "./tool.js";

export function designsTool(app: App): Tool {
	const rows = h("tbody");
	const progress = h("p", { role: "status", class: "progress" });
	let closed = false;
	const run = async (): Promise<void> => {
		const original = app.sides[0];
		if (original === undefined) return;
		for (const { name, title } of app.designs) {
			if (closed) return;
			progress.textContent = `${name} …`;
			rows.append(await rowOf(app, original.id, name, title));
		}
		progress.textContent = "";
	};
	void run().catch((error: unknown) => app.problem(error));
	return {
		title: "The same schedule under each design",
		close: () => {
			closed = true;
		},
		body: [
			progress,
			h(
				"div",
				{ class: "wide", tabindex: 0, role: "region", "aria-label": "designs" },
				h(
					"table",
					{},
					h(
						"thead",
						{},
						h("tr", {}, ...["design", "rule", "what happens", "compare"].map((name) => h("th", {}, name))),
					),
					rows,
				),
			),
		],
	};
}

async function rowOf(app: App, recording: number, design: string, title: string): Promise<HTMLElement> {
	const cells = (verdict: string, bad: boolean, ...more: readonly HTMLElement[]) =>
		h(
			"tr",
			{},
			h("td", {}, h("code", {}, design)),
			h("td", {}, title),
			h("td", { class: bad ? "bad" : "" }, verdict),
			h("td", {}, ...more),
		);
	try {
		const opened = await app.client.ask("follow", { recording, design });
		const { broken, sentence } = verdictOf(new Timeline(opened.recording));
		void app.client.ask("forget", { recording: opened.id });
		const show = () => void app.open({ ...app.shown, beside: design });
		const button = h("button", { type: "button", class: "go", click: show }, "show beside");
		return cells(`${broken ? "✗" : "✓"} ${sentence}`, broken, button);
	} catch (error) {
		if (!(error instanceof EngineError)) throw error;
		return cells(`refused: ${error.message}`, false);
	}
}
