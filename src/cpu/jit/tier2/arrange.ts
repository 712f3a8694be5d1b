import type { Node } from "./node.js";

/**
 * Numbers the nodes, finds dominators, loops and merges, and removes jumps into the middle of a loop. Returns the nodes
 * in order.
 */
export function arrange(root: Node): Node[] {
	const order = reversePostorder(root);
	for (const node of order) Object.assign(node, { dominator: undefined, merges: [], isLoop: false });
	const before = new Map<Node, Node[]>(order.map((node) => [node, []]));
	for (const node of order) for (const to of node.to.values()) before.get(to)!.push(node);
	findDominators(order, before);
	for (const node of order) {
		for (const [address, to] of node.to) {
			if (to.order > node.order) continue;
			if (dominates(to, node)) to.isLoop = true;
			else node.to.delete(address);
		}
	}
	for (const node of order) {
		const ahead = before.get(node)!.filter((from) => from.order < node.order && from.to.get(node.address) === node);
		node.from = ahead;
		node.isMerge = ahead.length > 1;
		if (node.isMerge) node.dominator!.merges.push(node);
	}
	return order;
}

function reversePostorder(root: Node): Node[] {
	const out: Node[] = [];
	const visited = new Set<Node>();
	const visit = (node: Node): void => {
		if (visited.has(node)) return;
		visited.add(node);
		for (const to of [...node.to.values()].reverse()) visit(to);
		out.push(node);
	};
	visit(root);
	out.reverse();
	for (const [n, node] of out.entries()) node.order = n;
	return out;
}

/** Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm. */
function findDominators(order: readonly Node[], before: ReadonlyMap<Node, readonly Node[]>): void {
	const [root, ...others] = order;
	root!.dominator = root;
	for (let changed = true; changed; ) {
		changed = false;
		for (const node of others) {
			let found: Node | undefined;
			for (const from of before.get(node)!) {
				if (from.dominator === undefined) continue;
				found = found === undefined ? from : common(from, found);
			}
			if (node.dominator !== found) {
				node.dominator = found;
				changed = true;
			}
		}
	}
}

function common(a: Node, b: Node): Node {
	let [x, y] = [a, b];
	while (x !== y) {
		if (x.order > y.order) x = x.dominator!;
		else y = y.dominator!;
	}
	return x;
}

function dominates(a: Node, b: Node): boolean {
	let node = b;
	while (node.order > a.order) node = node.dominator!;
	return node === a;
}
