import { type Node, newNode } from "./node.js";

/** Number of copies of the body of a small innermost loop, and the most instructions that a small loop has. */
const COPIES = 4;
const MAX_LOOP = 24;

/**
 * Repeats the bodies of small loops: the copies have a check of fuel in common, and one of pages for all that they access
 * with a pointer that advances by a constant. False if there is no such loop.
 */
export function unrollLoops(order: readonly Node[]): boolean {
	let some = false;
	for (const head of order) {
		if (!head.isLoop) continue;
		const body = innerLoop(order, head);
		const size = body.reduce((sum, { instructions }) => sum + instructions.length, 0);
		const isInnermost = body.every((node) => node === head || !node.isLoop);
		const calls = body.some(({ instructions }) => instructions.some(({ kind }) => kind !== "plain"));
		if (size > MAX_LOOP || !isInnermost || calls) continue;
		unroll(head, body);
		some = true;
	}
	return some;
}

/** The smallest loop that begins at `head`. If a nest of loops is entered in its middle, all of its loops begin there. */
function innerLoop(order: readonly Node[], head: Node): Node[] {
	const ends = order.filter((node) => node.order >= head.order && node.to.get(head.address) === head);
	const bodies = ends.map((end) => loopBody(order, head, end));
	return bodies.reduce((smallest, body) => (body.length < smallest.length ? body : smallest));
}

/**
 * The nodes of a loop: the head, `end`, from which a jump leads back, and those that lead to `end` without passing the
 * head.
 */
function loopBody(order: readonly Node[], head: Node, end: Node): Node[] {
	const body = new Set([head, end]);
	// In reverse order, all nodes that a node leads to, except the head, are visited before it.
	for (const node of order.slice(head.order, end.order).reverse()) {
		if ([...node.to.values()].some((to) => to !== head && body.has(to))) body.add(node);
	}
	return [...body];
}

/** The last copy goes back to the first; other jumps to the head are left as they are. */
function unroll(head: Node, body: readonly Node[]): void {
	const copies = Array.from(
		{ length: COPIES - 1 },
		() => new Map(body.map((node) => [node, newNode(node.address, node.instructions)])),
	);
	const headOf = (copy: number): Node => copies[copy]?.get(head) ?? head;
	for (const [n, copy] of copies.entries()) {
		for (const [node, twin] of copy) {
			for (const [address, to] of node.to) twin.to.set(address, to === head ? headOf(n + 1) : (copy.get(to) ?? to));
		}
	}
	for (const node of body) for (const [address, to] of node.to) if (to === head) node.to.set(address, headOf(0));
}
