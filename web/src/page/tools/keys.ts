/** The keys. */
import { h } from "../dom.js";
import type { Tool } from "./tool.js";

const KEYS = [
	["← → or ↑ ↓", "one step back, one step on"],
	["s, S", "the next switch of a task, the one before"],
	["v, V", "the next violation, the one before"],
	["Home, End", "the beginning, the end"],
	["e", "open or close the row of several steps"],
	["o", "the other side"],
] as const;

export function keysTool(): Tool {
	const rows = KEYS.map(([keys, what]) => h("tr", {}, h("td", {}, h("kbd", {}, keys)), h("td", {}, what)));
	const about = h(
		"p",
		{ class: "none" },
		"A click on a row goes there; a click on a dotted value says with which step it came.",
	);
	return { title: "Keys", body: [h("table", {}, h("tbody", {}, ...rows)), about] };
}
