import { AREA } from "../area.js";
import { FUEL } from "../tier1/index.js";
import type { Code, Label } from "../wasm/index.js";
import { AccessPlan, type Where } from "./access-plan.js";
import type { HotFunction } from "./function.js";
import { emitNode } from "./instructions.js";
import { Known } from "./known.js";
import { enoughFuel, type Node } from "./node.js";
import { type Part, Way } from "./way.js";

/**
 * A part of the graph that is emitted at a time: the nodes that the function's root or a loop's head dominates, without
 * those of loops inside of it. What is known holds on from node to node; where ways meet, what all of them know.
 */
abstract class Stretch implements Part {
	readonly root: Node;
	abstract readonly code: Code;
	protected readonly fn: HotFunction;
	readonly #start = Known.atStart();
	/** What is known where ways meet. */
	readonly #met = new Map<Node, Known>();
	readonly #emitted = new Set<Node>();

	constructor(fn: HotFunction, root: Node) {
		this.fn = fn;
		this.root = root;
	}

	/** A way that begins at the root. */
	protected begin(): Way {
		return new Way(this.fn, this, this.root, this.#start.fork());
	}

	/** Emits a node and all that it dominates. */
	enter(way: Way, node: Node): void {
		this.#emitted.add(node);
		this.open(node.merges);
		emitNode(way, node);
		for (const merge of node.merges) {
			this.close();
			if (merge.isLoop) this.loop(merge);
			else this.enter(new Way(this.fn, this, merge, this.#knownAt(merge)), merge);
		}
	}

	/** Of ways through a loop inside of the stretch nothing is known. */
	#knownAt(merge: Node): Known {
		const met = this.#met.get(merge);
		this.#met.delete(merge);
		return met !== undefined && merge.from.every((node) => this.#emitted.has(node)) ? met : this.#start.nothing();
	}

	join(way: Way, node: Node): void {
		const met = this.#met.get(node);
		if (met === undefined) this.#met.set(node, way.known);
		else met.meet(way.known);
	}

	abstract access(
		way: Way,
		where: Where,
		address: number,
		bytes: number,
		need: number,
	): { host: number; offset: number };
	/** Opens blocks behind which the nodes stand, the first of them innermost. */
	protected abstract open(merges: readonly Node[]): void;
	/** Ends the innermost one. */
	protected abstract close(): void;
	/** The stretch of a loop inside of this one. */
	protected abstract loop(head: Node): void;
}

/** The draft of a stretch: plans its accesses to memory. Its bytes are not for the module. */
class Draft extends Stretch {
	readonly code: Code;
	readonly plan = new AccessPlan();

	constructor(fn: HotFunction, root: Node) {
		super(fn, root);
		this.code = fn.code.draft();
		this.enter(this.begin(), root);
	}

	access(way: Way, where: Where, _address: number, bytes: number, need: number): { host: number; offset: number } {
		way.known.open = this.plan.add(way.known.open, where, bytes, need, way.node === this.root);
		return { host: way.temp("i32"), offset: 0 };
	}

	protected open(): void {}
	protected close(): void {}
	protected loop(): void {}
}

/** What the final stretches of a function share. */
interface Whole {
	/** Of all nodes that are open: where jumps to them go. */
	readonly labels: Map<Node, Label>;
	/** Fuel that is enough from any check to the next. */
	readonly enough: number;
}

/** The stretch itself, after its {@link Draft}. */
class Final extends Stretch {
	readonly code: Code;
	readonly #whole: Whole;
	readonly #plan: AccessPlan;

	constructor(fn: HotFunction, root: Node, whole: Whole) {
		super(fn, root);
		this.code = fn.code;
		this.#whole = whole;
		this.#plan = new Draft(fn, root).plan;
	}

	emit(): void {
		const { code, root } = this;
		const { pages } = this.fn;
		const checks = pages.earlyChecks(this.#plan);
		const again = root.isLoop || checks.length > 0 ? code.loop() : undefined;
		if (root.isLoop && again !== undefined) this.#whole.labels.set(root, again);
		this.#checkFuel();
		// A miss is handled behind everything else, and begins the stretch once more: the way through stays straight.
		const miss = checks.length > 0 ? code.block() : undefined;
		const way = this.begin();
		if (miss !== undefined) pages.check(way, checks, miss);
		this.enter(way, root);
		if (again === undefined) return;
		if (miss !== undefined) {
			code.end();
			pages.find(this.begin(), checks);
			code.br(again);
		}
		code.end();
		this.#whole.labels.delete(root);
	}

	access(way: Way, where: Where, address: number): { host: number; offset: number } {
		const group = this.#plan.take();
		const host = group.host ?? this.fn.pages.access(way, group, where, address);
		return { host, offset: where.offset - group.low };
	}

	protected open(merges: readonly Node[]): void {
		for (const merge of [...merges].reverse()) this.#whole.labels.set(merge, this.code.block());
	}
	protected close(): void {
		this.code.end();
	}
	protected loop(head: Node): void {
		new Final(this.fn, head, this.#whole).emit();
	}

	override join(way: Way, node: Node): void {
		super.join(way, node);
		this.fn.payFuel(way.code, way.spent);
		const label = this.#whole.labels.get(node);
		// The head of a loop that only this way enters has not been emitted yet.
		if (label !== undefined) way.code.br(label);
		else this.loop(node);
	}

	#checkFuel(): void {
		const { code } = this;
		code.get(FUEL).i32(this.#whole.enough).op("i32.lt_u");
		code.hint(false).if();
		code.i32(0).i32(1).memory("i32.store", AREA.stayed);
		this.fn.leave(code, this.root.address);
		code.end();
	}
}

/**
 * Emits a graph as structured control flow (Ramsey: Beyond Relooper), from its dominator tree: a node with several ways
 * to it ends a block behind which it stands, and a loop's head begins a loop. Fuel is counted by way and checked at
 * loops.
 */
export function emitGraph(fn: HotFunction, root: Node): void {
	new Final(fn, root, { labels: new Map(), enough: enoughFuel(root) }).emit();
}
