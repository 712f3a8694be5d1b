import { KlpemuError, printable } from "../../base/index.js";
import type { SearchMove } from "../../explore/index.js";
import { type GraphMove, type GraphState, renderDot } from "../../report/index.js";

/** More states make a picture that nobody can read, and that Graphviz takes minutes for. */
export const DOT_STATES = 1000;

/** Collects the states and moves of an exploration for `--dot`. */
export class StateGraphCollector {
	readonly #states = new Map<string, GraphState>();
	readonly #moves: GraphMove[] = [];
	#ends = 0;

	/** Throws `EXPLORE_DOT_LARGE`. */
	add({ from, to, move, broken, describe }: SearchMove): void {
		this.#state(String(from), () => describe(from));
		const invariants = [...new Set(broken.map(({ invariant }) => invariant))];
		const target = to === undefined ? `end ${++this.#ends}` : String(to);
		this.#state(target, () => (to === undefined ? invariants : describe(to)));
		const label = `${move.who}: ${move.label}${move.late ? " (15th try)" : ""}`;
		this.#moves.push({ from: String(from), to: target, label, broken: invariants });
	}

	#state(name: string, lines: () => readonly string[]): void {
		if (this.#states.has(name)) return;
		if (this.#states.size === DOT_STATES) {
			throw new KlpemuError("EXPLORE_DOT_LARGE", `--dot draws at most ${DOT_STATES} states, and there are more`, {
				where: "klpemu explore",
				hint: "take a scenario with fewer tasks and steps, or a smaller --budget",
			});
		}
		this.#states.set(name, { lines: lines() });
	}

	/** The graph in the DOT language. */
	render(title: string): string {
		return printable(renderDot({ title, states: this.#states, moves: this.#moves }));
	}
}
