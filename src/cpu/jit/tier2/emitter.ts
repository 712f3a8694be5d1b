import { AREA } from "../area.js";
import { FUEL } from "../tier1/index.js";
import type { Code, Label } from "../wasm/index.js";
import { AccessPlan, type Where } from "./access-plan.js";
import type { HotFunction } from "./function.js";
import { emitNode } from "./instructions.js";
import { Known } from "./known.js";
import { enoughFuel, type Node } from "./node.js";
import { type Tree, Way } from "./way.js";

/** The draft of a tree of nodes: plans its accesses to memory. Its bytes are not for the module. */
class Draft implements Tree {
	readonly root: Node;
	readonly code: Code;
	readonly plan = new AccessPlan();

	constructor(fn: HotFunction, root: Node) {
		this.root = root;
		this.code = fn.code.draft();
		emitNode(new Way(fn, this, root, Known.atStart()), root);
	}

	enter(way: Way, node: Node): void {
		emitNode(way, node);
	}

	/** Another tree begins there. */
	join(): void {}

	access(way: Way, where: Where, _address: number, bytes: number, need: number): { host: number; offset: number } {
		way.known.open = this.plan.add(way.known.open, where, bytes, need, way.node === this.root);
		return { host: way.temp("i32"), offset: 0 };
	}
}

/**
 * Emits a graph as structured control flow (Ramsey: Beyond Relooper), from its dominator tree: a node with several ways
 * to it ends a block behind which it stands, and a loop's head begins a loop. Between these nodes, the nodes that only
 * one way leads to are trees, and within a tree each way keeps what is known on it. Fuel is counted by way and checked at
 * loops.
 */
export class Emitter {
	readonly #fn: HotFunction;
	readonly #root: Node;
	/** Fuel that is enough from any check to the next. */
	readonly #enough: number;
	readonly #labels = new Map<Node, Label>();

	constructor(fn: HotFunction, root: Node) {
		this.#fn = fn;
		this.#root = root;
		this.#enough = enoughFuel(root);
	}

	emit(): void {
		this.#dominated(this.#root, () => this.#tree(this.#root));
	}

	/** A node and all that it dominates; `emit`: the node, and those behind it that only one way leads to. */
	#dominated(node: Node, emit: () => void): void {
		const { code } = this.#fn;
		if (node.isLoop) this.#labels.set(node, code.loop());
		if (node.isLoop || node === this.#root) this.#checkFuel(node);
		for (const merge of [...node.merges].reverse()) this.#labels.set(merge, code.block());
		emit();
		for (const merge of node.merges) {
			code.end();
			this.#dominated(merge, () => this.#tree(merge));
		}
		if (node.isLoop) code.end();
	}

	/** The tree of nodes that begins at one that several ways lead to: nothing is known there. */
	#tree(root: Node): void {
		const fn = this.#fn;
		const { code } = fn;
		const { plan } = new Draft(fn, root);
		// A miss is handled behind everything else, and begins the node once more: the way through stays straight.
		const again = root.isLoop ? this.#labels.get(root)! : code.loop();
		const checks = fn.pages.earlyChecks(code, plan);
		const miss = checks.length > 0 ? code.block() : undefined;
		const tree = this.#forGood(root, plan);
		const way = new Way(fn, tree, root, Known.atStart());
		if (miss !== undefined) fn.pages.check(way, checks, miss);
		emitNode(way, root);
		if (miss !== undefined) {
			code.end();
			fn.pages.find(new Way(fn, tree, root, Known.atStart()), checks);
			code.br(again);
		}
		if (!root.isLoop) code.end();
	}

	/** The tree itself, after its {@link Draft}. */
	#forGood(root: Node, plan: AccessPlan): Tree {
		const { code, pages } = this.#fn;
		return {
			root,
			code,
			enter: (way, node) => this.#dominated(node, () => emitNode(way, node)),
			join: (way, node) => this.#join(way, node),
			access: (way, where, address) => {
				const group = plan.take();
				const host = group.host ?? pages.access(way, group, where, address);
				return { host, offset: where.offset - group.low };
			},
		};
	}

	#join(way: Way, node: Node): void {
		this.#fn.payFuel(way.code, way.spent);
		const label = this.#labels.get(node);
		// The head of a loop that only this way enters has not been emitted yet.
		if (label !== undefined) way.code.br(label);
		else this.#dominated(node, () => this.#tree(node));
	}

	#checkFuel(node: Node): void {
		const { code } = this.#fn;
		code.get(FUEL).i32(this.#enough).op("i32.lt_u");
		code.if();
		code.i32(0).i32(1).memory("i32.store", AREA.stayed);
		this.#fn.leave(code, node.address);
		code.end();
	}
}
