import { type Kaddr, toKaddr } from "../../../memory/index.js";
import type { Semantic } from "../../x86/index.js";
import { after, discover, instructionAt, type RegionInstruction, type Text } from "../tier1/index.js";
import type { Profile } from "./profile.js";

const MAX_INSTRUCTIONS = 600;
const MAX_BLOCK = 64;

/** Left to the first tier: they look at the fuel, run long, or let the host in. */
const ALONE = new Set<Semantic>(["rdtsc", "movs", "stos", "lods", "scas", "cmps", "cpuid", "enter"]);

/** Where the calls that are under way will return to, innermost first. */
interface Context {
	readonly returnTo: bigint;
	readonly outer: Context | undefined;
	readonly key: string;
}

/** A basic block in one context: the same code called from two places is two nodes. */
export interface Node {
	readonly address: bigint;
	readonly instructions: readonly RegionInstruction[];
	/** Where it goes on, by address. Everything else leaves the translation. */
	readonly to: Map<bigint, Node>;
	/** In reverse postorder; a jump to a smaller or the same number is a loop. */
	order: number;
	/** Ahead of it on every path from the root (immediate dominator). */
	dominator: Node | undefined;
	/** Nodes that it immediately dominates and that several jumps lead to, in order. */
	merges: Node[];
	isMerge: boolean;
	isLoop: boolean;
}

function newNode(address: bigint, instructions: readonly RegionInstruction[]): Node {
	const places = { order: -1, dominator: undefined, merges: [], isMerge: false, isLoop: false };
	return { address, instructions, to: new Map(), ...places };
}

/**
 * The code around `root` that the profile has seen, calls inlined: every jump, call and return that was seen leads to the
 * node it leads to. `unrolled`: small loops are there several times. Undefined when even the first instruction has to be
 * left to the first tier.
 */
export function buildGraph(text: Text, root: Kaddr, profile: Profile, unrolled: boolean): Node | undefined {
	const graph = new GraphBuilder(text, profile).build(BigInt.asUintN(64, BigInt(root)));
	if (graph === undefined) return undefined;
	const order = arrange(graph);
	if (unrolled && unrollLoops(order)) arrange(graph);
	return graph;
}

class GraphBuilder {
	readonly #text: Text;
	readonly #profile: Profile;
	readonly #nodes = new Map<string, Node>();
	readonly #leaders = new Set<bigint>();
	readonly #work: { node: Node; context: Context | undefined }[] = [];
	#left = MAX_INSTRUCTIONS;

	constructor(text: Text, profile: Profile) {
		this.#text = text;
		this.#profile = profile;
	}

	build(address: bigint): Node | undefined {
		const root = this.#node(address, undefined, true);
		if (root === undefined) return undefined;
		for (let next = this.#work.shift(); next !== undefined; next = this.#work.shift()) {
			this.#connect(next.node, next.context);
		}
		return root;
	}

	/** `fresh`: a place where a function, or the rest of one, begins. */
	#node(address: bigint, context: Context | undefined, fresh: boolean): Node | undefined {
		const key = `${address.toString(16)} ${context?.key ?? ""}`;
		const known = this.#nodes.get(key);
		if (known !== undefined) return known;
		if (this.#left <= 0 || !this.#profile.seen.has(toKaddr(address))) return undefined;
		if (fresh) this.#findLeaders(address);
		const instructions = this.#block(address);
		if (instructions.length === 0) return undefined;
		this.#left -= instructions.length;
		const node = newNode(address, instructions);
		this.#nodes.set(key, node);
		this.#work.push({ node, context });
		return node;
	}

	#findLeaders(address: bigint): void {
		for (const entry of discover(this.#text, address)) {
			if (entry.kind !== "plain" || entry.instruction.row.semantic === "call") continue;
			const [operand] = entry.instruction.operands;
			if (operand?.kind === "rel") this.#leaders.add(operand.target);
		}
	}

	#block(start: bigint): RegionInstruction[] {
		const out: RegionInstruction[] = [];
		for (let address = start; out.length < MAX_BLOCK; ) {
			if (this.#text.isBreakpoint(address) || (address !== start && this.#leaders.has(address))) break;
			const entry = instructionAt(this.#text, address);
			if (entry === undefined || (entry.kind === "gate" && entry.gate.passes === "state")) break;
			if (entry.kind === "plain" && ALONE.has(entry.instruction.row.semantic)) break;
			out.push(entry);
			if (entry.kind !== "plain" || entry.instruction.row.branch) break;
			address = after(entry);
		}
		return out;
	}

	#connect(node: Node, context: Context | undefined): void {
		const last = node.instructions.at(-1)!;
		const next = after(last);
		const go = (target: bigint, inside: Context | undefined, fresh: boolean): void => {
			const to = this.#node(target, inside, fresh);
			if (to !== undefined) node.to.set(target, to);
		};
		const called = (): Context => ({
			returnTo: next,
			outer: context,
			key: `${next.toString(16)} ${context?.key ?? ""}`,
		});
		const targets = this.#profile.targets(last.address);
		if (last.kind === "gate") go(next, context, false);
		else if (last.kind === "site") {
			go(next, context, false);
			if (targets.length > 0) go(targets[0]!, called(), true);
		} else {
			const { row, operands } = last.instruction;
			const target = operands[0]?.kind === "rel" ? operands[0].target : undefined;
			switch (row.semantic) {
				case "call":
					go(target!, called(), true);
					break;
				case "call_indirect":
					for (const to of targets) go(to, called(), true);
					break;
				case "jmp_indirect":
					for (const to of targets) go(to, context, true);
					break;
				case "ret": {
					const to = context === undefined ? targets : this.#profile.returns(last.address, context.returnTo);
					for (const address of to) go(address, context?.outer, true);
					break;
				}
				default:
					if (target !== undefined) go(target, context, false);
					if (row.semantic !== "jmp") go(next, context, false);
			}
		}
	}
}

/** Numbers the nodes, finds dominators, loops and merges, and cuts jumps into the middle of a loop. Returns the nodes in order. */
function arrange(root: Node): Node[] {
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
		node.isMerge = ahead.length > 1;
		if (node.isMerge) node.dominator!.merges.push(node);
	}
	return order;
}

/** How often the body of a small innermost loop is there, and what small is. */
const COPIES = 4;
const MAX_LOOP = 24;

/**
 * Repeats the bodies of small loops: the copies have a check of fuel in common, and one of pages for all that they access with a
 * pointer that advances by a constant. False when there is no such loop.
 */
function unrollLoops(order: readonly Node[]): boolean {
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

/** The smallest loop that begins at `head`: where a nest of loops is entered in its middle, all of them begin there. */
function innerLoop(order: readonly Node[], head: Node): Node[] {
	const ends = order.filter((node) => node.order >= head.order && node.to.get(head.address) === head);
	const bodies = ends.map((end) => loopBody(order, head, end));
	return bodies.reduce((smallest, body) => (body.length < smallest.length ? body : smallest));
}

/** The head, and what leads to `end`, from where a jump leads back, without passing the head. */
function loopBody(order: readonly Node[], head: Node, end: Node): Node[] {
	const body = new Set([head, end]);
	// Against the order: a node comes behind all that it leads to, but for the head.
	for (const node of order.slice(head.order, end.order).reverse()) {
		if ([...node.to.values()].some((to) => to !== head && body.has(to))) body.add(node);
	}
	return [...body];
}

/** The last copy goes back to the first; other jumps to the head remain what they are. */
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
