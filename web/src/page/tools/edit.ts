/** The editor: a scenario of one's own, with errors at the line and completion from the schema. */
import { autocompletion } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, linter, lintGutter } from "@codemirror/lint";
import { search, searchKeymap } from "@codemirror/search";
import { EditorState, type Text } from "@codemirror/state";
import { EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { Problem } from "../../shared/protocol.js";
import type { App } from "../app.js";
import { h } from "../dom.js";
import { completeFrom, type JsonSchema } from "./completion.js";
import type { Tool } from "./tool.js";

const THEME = EditorView.theme({
	"&": {
		height: "46vh",
		fontSize: "13px",
		color: "var(--text)",
		backgroundColor: "var(--back)",
		border: "1px solid var(--line)",
	},
	".cm-scroller": { fontFamily: "var(--mono)" },
	".cm-gutters": { backgroundColor: "var(--card)", color: "var(--dim)", borderRight: "1px solid var(--line)" },
	".cm-activeLine": { backgroundColor: "transparent" },
	"&.cm-focused .cm-activeLine": { backgroundColor: "var(--card)" },
	".cm-content": { caretColor: "var(--text)" },
	".cm-cursor": { borderLeftColor: "var(--text)" },
	"&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--cursor) !important" },
	".cm-tooltip": { backgroundColor: "var(--card)", color: "var(--text)", border: "1px solid var(--line)" },
	".cm-panels": { backgroundColor: "var(--card)", color: "var(--text)" },
});

const COLOURS = HighlightStyle.define([
	{ tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--accent)" },
	{ tag: tags.comment, color: "var(--dim)", fontStyle: "italic" },
	{ tag: [tags.number, tags.bool, tags.null], color: "var(--unpatched)" },
]);

/** The place of a problem: `file:line:column`; without one, the first line. */
function diagnosticOf({ message, where, hint }: Problem, text: Text): Diagnostic {
	const [, line = "1", column = "1"] = /:(\d+)(?::(\d+))?$/.exec(where ?? "") ?? [];
	const at = text.line(Math.min(Number(line), text.lines));
	const from = Math.min(at.from + Math.max(0, Number(column) - 1), at.to);
	return { from, to: at.to, severity: "error", message: hint === undefined ? message : `${message}\n${hint}` };
}

export async function editTool(app: App): Promise<Tool> {
	const { text: initial, fileName } = await app.scenarioText(app.shown);
	const schema = (await (await fetch(new URL("data/scenario.schema.json", document.baseURI))).json()) as JsonSchema;
	const status = h("p", { role: "status", class: "progress" });
	// Styles of the editor go into the shadow root as style sheets, which the page's policy allows; elements with styles it does not.
	const host = h("div", { class: "editor" });
	const root = host.attachShadow({ mode: "open" });
	const own = () => (app.shown.text === undefined ? `own-${fileName.replace(/^.*\//, "")}` : fileName);
	const check = async ({ state }: EditorView): Promise<Diagnostic[]> => {
		const problem = await app.client.ask("validate", { scenario: { fileName, text: state.doc.toString() } });
		status.textContent = problem === undefined ? "No errors." : `${problem.where ?? ""} ${problem.message}`;
		status.classList.toggle("bad", problem !== undefined);
		return problem === undefined ? [] : [diagnosticOf(problem, state.doc)];
	};
	const view = new EditorView({
		root,
		parent: root,
		state: EditorState.create({
			doc: initial,
			extensions: [
				...[lineNumbers(), history(), highlightActiveLine(), bracketMatching(), indentOnInput(), yaml()],
				...[lintGutter(), linter(check, { delay: 250 }), search(), syntaxHighlighting(COLOURS), THEME],
				autocompletion({
					override: [
						completeFrom(
							schema,
							app.designs.map(({ name }) => name),
						),
					],
				}),
				keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, indentWithTab]),
				// Text that the browser itself puts in place of a selection gets a style attribute, which the page's policy stops.
				EditorView.domEventHandlers({
					beforeinput: ({ inputType, data }, editor) => {
						if (inputType !== "insertText" || data === null || editor.state.selection.main.empty) return false;
						editor.dispatch(editor.state.replaceSelection(data), { userEvent: "input.type" });
						return true;
					},
				}),
				EditorView.contentAttributes.of({ "aria-label": "scenario, YAML", tabindex: "0" }),
			],
		}),
	});
	const run = () => {
		const text = view.state.doc.toString();
		const { scenario } = app.shown;
		const folder = scenario.includes("/") ? scenario.replace(/[^/]*$/, "") : "";
		void app.open({
			...app.shown,
			scenario: folder + own().replace(/^.*\//, ""),
			text,
			schedule: "run",
			at: undefined,
			task: "",
		});
	};
	return {
		title: "The scenario",
		close: () => view.destroy(),
		body: [
			host,
			status,
			h(
				"p",
				{ class: "controls" },
				h("button", { type: "button", class: "plain", click: run }, "Run it"),
				h(
					"span",
					{ class: "none" },
					"Ctrl-Space completes; Esc, then Tab leaves the editor. C must have been compiled: sources of this folder, or objects that you drop on the page.",
				),
			),
		],
	};
}
