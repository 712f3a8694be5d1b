/** The drawer between the title and the diagrams: one tool at a time. */
import type { App } from "../app.js";
import { byId, type Child, h } from "../dom.js";

/** What a tool shows, and what it lets go of when it is closed. */
export interface Tool {
	readonly title: string;
	readonly body: readonly Child[];
	close?(): void;
	/** Gets the focus. */
	readonly focus?: HTMLElement;
}

export type MakeTool = (app: App) => Tool | Promise<Tool>;

export class Drawer {
	readonly #app: App;
	#open: Tool | undefined = undefined;

	constructor(app: App) {
		this.#app = app;
	}

	async show(make: MakeTool): Promise<void> {
		this.close();
		const tool = await make(this.#app);
		this.#open = tool;
		const element = byId("tool");
		element.hidden = false;
		const end = () => {
			this.close();
			byId("toolbar").querySelector("button")?.focus();
		};
		element.replaceChildren(
			h(
				"section",
				{ class: "card tool", "aria-label": tool.title },
				h(
					"div",
					{ class: "head-line" },
					h("h2", {}, tool.title),
					h("button", { type: "button", class: "plain", click: end }, "Close"),
				),
				...tool.body,
			),
		);
		(tool.focus ?? element.querySelector<HTMLElement>("button, input, select"))?.focus();
	}

	close(): void {
		this.#open?.close?.();
		this.#open = undefined;
		const element = byId("tool");
		element.hidden = true;
		element.replaceChildren();
	}
}
