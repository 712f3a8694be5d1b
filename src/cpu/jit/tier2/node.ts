import type { RegionInstruction } from "../tier1/index.js";

/** A basic block in one context: the same code called from two places is two nodes. */
export interface Node {
	readonly address: bigint;
	readonly instructions: readonly RegionInstruction[];
	/** The nodes in which it goes on, by address. A jump to any other address leaves the translation. */
	readonly to: Map<bigint, Node>;
	/** The nodes that lead to it and have a smaller number: all but those that close a loop. */
	from: readonly Node[];
	/** Number in reverse postorder; a jump to a smaller or the same number closes a loop. */
	order: number;
	/** The last node that is ahead of it on every path from the root (immediate dominator). */
	dominator: Node | undefined;
	/** Nodes that it immediately dominates and that several jumps lead to, in order. */
	merges: Node[];
	isMerge: boolean;
	isLoop: boolean;
}

export function newNode(address: bigint, instructions: readonly RegionInstruction[]): Node {
	const places = { from: [], order: -1, dominator: undefined, merges: [], isMerge: false, isLoop: false };
	return { address, instructions, to: new Map(), ...places };
}

/** All nodes that can be reached from the root, each once. */
export function allNodes(root: Node): Node[] {
	const found = new Set([root]);
	for (const node of found) for (const to of node.to.values()) found.add(to);
	return [...found];
}

/** The instructions of the graph, each once. */
export function instructionsOf(root: Node): RegionInstruction[] {
	const found = new Map<bigint, RegionInstruction>();
	for (const { instructions } of allNodes(root)) for (const entry of instructions) found.set(entry.address, entry);
	return [...found.values()];
}

/** A key that is equal for two graphs only if their translations are equal. */
export function graphKey(root: Node, describe: (entry: RegionInstruction) => string): string {
	const nodes = allNodes(root);
	const number = new Map(nodes.map((node, n) => [node, n]));
	return nodes
		.map(({ instructions, to }) => {
			const edges = [...to].map(([address, node]) => `${address.toString(16)}>${number.get(node)}`);
			return `${instructions.map(describe).join("\n")}\n${edges.join(" ")}`;
		})
		.join("\n\n");
}

/** Fuel for the longest path without a check; with less, a translation of the graph does nothing. */
export function enoughFuel(root: Node): number {
	return allNodes(root).reduce((sum, { instructions }) => sum + instructions.length, 1);
}
