/** A state of an exploration. */
export interface GraphState {
	/** Lines that say what is in it. */
	readonly lines: readonly string[];
}

/** A move from one state to another. */
export interface GraphMove {
	readonly from: string;
	readonly to: string;
	/** `shell: insmod lp1` */
	readonly label: string;
	/** The invariants that it breaks. */
	readonly broken: readonly string[];
}

/** States and moves, by the names of the states, in the order in which they were found. */
export interface StateGraph {
	readonly title: string;
	readonly states: ReadonlyMap<string, GraphState>;
	readonly moves: readonly GraphMove[];
}

/** A string of the DOT language. The only mark in it that needs care is the quote; `\l` ends a line that stands left. */
function quoted(lines: readonly string[]): string {
	const escaped = lines.map((line) => line.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", " "));
	return `"${escaped.length > 1 ? escaped.map((line) => `${line}\\l`).join("") : (escaped[0] ?? "")}"`;
}

/** The graph in the DOT language of Graphviz (graphviz.org, "DOT Language"). A move that breaks an invariant is bold and red. */
export function renderDot({ title, states, moves }: StateGraph): string {
	const broken = new Set(moves.filter((move) => move.broken.length > 0).map(({ to }) => to));
	return [
		`digraph ${quoted([title])} {`,
		`  label=${quoted([title])}; labelloc=t; fontname="sans-serif";`,
		'  node [shape=box, fontname="sans-serif", fontsize=10]; edge [fontname="sans-serif", fontsize=9];',
		...[...states].map(([name, { lines }]) => {
			const mark = broken.has(name) ? ', shape=octagon, style=bold, color="#b00020"' : "";
			return `  ${quoted([name])} [label=${quoted(lines)}${mark}];`;
		}),
		...moves.map((move) => {
			const bad = move.broken.length > 0;
			const label = bad ? [move.label, ...move.broken.map((invariant) => `breaks ${invariant}`)] : [move.label];
			return `  ${quoted([move.from])} -> ${quoted([move.to])} [label=${quoted(label)}${bad ? ', style=bold, color="#b00020"' : ""}];`;
		}),
		"}",
		"",
	].join("\n");
}
