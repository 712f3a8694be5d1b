/** Moments that the reader keeps: each is a link with a note. They stay in this browser. */
import type { App } from "../app.js";
import { h } from "../dom.js";
import { linkOf } from "../link.js";
import type { Tool } from "./tool.js";

const STORE = "klpemu notebook";

interface Note {
	readonly link: string;
	readonly where: string;
	readonly text: string;
}

function isNote(value: unknown): value is Note {
	const { link, where, text } = (value ?? {}) as Record<string, unknown>;
	return [link, where, text].every((part) => typeof part === "string");
}

/** Without a store, as in a private window, the notebook lasts as long as the page. */
function read(): Note[] {
	try {
		const found: unknown = JSON.parse(localStorage.getItem(STORE) ?? "[]");
		return Array.isArray(found) ? found.filter(isNote) : [];
	} catch {
		return [];
	}
}

function write(notes: readonly Note[]): void {
	try {
		localStorage.setItem(STORE, JSON.stringify(notes));
	} catch {
		// See read().
	}
}

export function notebookTool(app: App): Tool {
	let notes = read();
	const list = h("ol", { class: "notes" });
	const text = h("input", {
		type: "text",
		size: 40,
		maxlength: 300,
		"aria-label": "note",
		placeholder: "what is to be seen here",
	});
	const render = () => {
		list.replaceChildren(
			...notes.map((note) =>
				h(
					"li",
					{},
					h("a", { href: `#${note.link}` }, note.text || note.where),
					h("span", { class: "none" }, ` ${note.where} `),
					h(
						"button",
						{
							type: "button",
							class: "go",
							"aria-label": `remove ${note.text || note.where}`,
							click: () => save(notes.filter((other) => other !== note)),
						},
						"remove",
					),
				),
			),
		);
		if (notes.length === 0) list.append(h("li", { class: "none" }, "no moments yet"));
	};
	const save = (next: Note[]) => {
		notes = next;
		write(notes);
		render();
	};
	const keep = async () => {
		const { active } = app;
		if (active === undefined) return;
		const where = `${active.timeline.recording.design}, instant ${active.instant} of ${active.timeline.end}`;
		save([...notes, { link: await linkOf(app.shown), where, text: text.value }]);
		text.value = "";
	};
	render();
	const form = h(
		"div",
		{ class: "controls" },
		text,
		h("button", { type: "button", class: "plain", click: () => void keep() }, "Keep this moment"),
	);
	return { title: "Notebook", focus: text, body: [form, list] };
}
