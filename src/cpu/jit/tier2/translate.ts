import { toKaddr } from "../../../memory/index.js";
import { ARGUMENT_REGISTERS, RCX } from "../../cpu.js";
import type { Semantic } from "../../x86/index.js";
import { AREA, REASON, SITE, STOP } from "../area.js";
import {
	emitCall,
	type FunctionIndices,
	flagsOfFunction,
	moveRsp,
	SEMANTICS,
	topOfStack,
	umulhFunction,
} from "../semantics/index.js";
import { after, type BoundGate, ENDS, FUEL, type RegionInstruction } from "../tier1/index.js";
import { buildModule, Code, type Label, type Signature } from "../wasm/index.js";
import type { Node } from "./graph.js";
import { HotTranslator } from "./hot.js";

const I32 = "i32" as const;
const ARGS_GATE: Signature = { params: [I32, I32, I32, I32], results: [I32] };
const STORE_GATE: Signature = { params: [I32], results: [I32] };
const RUN: Signature = { params: [I32, I32], results: [I32] };

/** The name under which a gate with index n is imported. */
export const gateImport = (n: number): string => `gate${n}`;

/** These set all six flags, whatever their operands. */
const REPLACES_FLAGS = new Set<Semantic>(["add", "sub", "cmp", "and", "or", "xor", "test", "neg"]);

/** Everything that can be reached from the root, each node once. */
function allNodes(root: Node): Node[] {
	const found = new Set([root]);
	for (const node of found) for (const to of node.to.values()) found.add(to);
	return [...found];
}

/**
 * The second tier: one function for a whole piece of running program, calls inlined, as structured control flow (Ramsey:
 * Beyond Relooper). Fuel is counted by path and checked at loops; everything unexpected goes on in the first tier.
 */
class Emitter extends HotTranslator {
	readonly #root: Node;
	readonly #exit: Label;
	readonly #rip: number;
	readonly #epoch: number;
	readonly #gates: ReadonlyMap<number, number>;
	/** Fuel that is enough from any check to the next. */
	readonly #enough: number;
	readonly #labels = new Map<Node, Label>();
	#node: Node;
	#entry!: RegionInstruction;
	/** Instructions done on the way since fuel was last taken off, those of the node so far included. */
	#spent = 0;

	constructor(code: Code, functions: FunctionIndices, root: Node, gates: ReadonlyMap<number, number>) {
		super(code, FUEL, functions);
		this.#root = root;
		this.#node = root;
		this.#gates = gates;
		this.#rip = code.local("i64");
		this.#epoch = code.local("i32");
		this.#enough = enoughFuel(root);
		this.#exit = code.block();
		this.#tree(root);
		code.end();
	}

	// ---- control flow ----

	/** A node and all that it dominates. */
	#tree(node: Node): void {
		const { code } = this;
		if (this.planning) {
			// The merges are planned when it is their turn.
			this.#emitNode(node, false);
			return;
		}
		if (node.isLoop) this.#labels.set(node, code.loop());
		if (node.isLoop || node === this.#root) this.#checkFuel(node);
		for (const merge of [...node.merges].reverse()) this.#labels.set(merge, code.block());
		if (node === this.#root || node.isLoop || node.isMerge)
			this.#start(node, node.isLoop ? this.#labels.get(node) : undefined);
		else this.#emitNode(node, false);
		for (const merge of node.merges) {
			code.end();
			this.#tree(merge);
		}
		if (node.isLoop) code.end();
	}

	/** A node that several ways lead to: nothing is known there. Those behind it that only one way leads to come with it. */
	#start(node: Node, again: Label | undefined): void {
		const emit = (): void => {
			this.setter = undefined;
			this.#spent = 0;
			this.#emitNode(node, true);
		};
		this.twice(emit, (emitForGood) => {
			// Finding a page lies behind everything else, and begins the node once more: the way through stays straight.
			const retry = again ?? this.code.loop();
			const some = this.checkEarly(() => this.code.block());
			emitForGood();
			if (some) {
				this.code.end();
				[this.#entry, this.#spent, this.setter] = [node.instructions[0]!, 0, undefined];
				this.withoutHomes(() => this.findEarly());
				this.code.br(retry);
			}
			if (again === undefined) this.code.end();
		});
	}

	#checkFuel(node: Node): void {
		const { code } = this;
		code.get(FUEL).i32(this.#enough).op("i32.lt_u");
		code.if();
		code.i32(0).i32(1).memory("i32.store", AREA.stayed);
		this.withoutHomes(() => this.#leave(node.address, 0));
		code.end();
	}

	#payFuel(count: number): void {
		if (count > 0) this.code.get(FUEL).i32(count).op("i32.sub").set(FUEL);
	}

	/** Goes on at the address in the first tier; `spent`: instructions done that are not paid for. */
	#leave(address: bigint, spent: number): void {
		this.#payFuel(spent);
		this.loadHomes();
		this.code.i64(address).set(this.#rip).br(this.#exit);
	}

	override refuse(): void {
		this.code.i32(REASON.slow).set(this.why);
		this.#leave(this.#entry.address, this.#spent);
	}

	/** Leaves in front of the current instruction: it went where it was not seen to go. */
	#unexpected(): void {
		this.#leave(this.#entry.address, this.#spent);
	}

	override goto(target: bigint): void {
		const to = this.#node.to.get(target);
		if (to === undefined) this.#leave(target, this.#spent + 1);
		else this.#transfer(to);
	}

	/** Goes from the end of the current instruction to another node of the graph. */
	#transfer(to: Node): void {
		const back = to.order <= this.#node.order;
		if (back || to.isMerge || to.isLoop) {
			if (this.planning) return;
			this.#payFuel(this.#spent + 1);
			if (back || to.isMerge) this.code.br(this.#labels.get(to)!);
			else this.#keepingState(() => this.#tree(to));
			return;
		}
		this.#keepingState(() => {
			this.#spent++;
			this.aside(() => this.#tree(to));
		});
	}

	#keepingState(emit: () => void): void {
		const [node, entry, spent, setter] = [this.#node, this.#entry, this.#spent, this.setter];
		const { instruction } = this;
		emit();
		[this.#node, this.#entry, this.#spent, this.setter] = [node, entry, spent, setter];
		this.instruction = instruction;
	}

	override gotoDynamic(): void {
		throw new Error("indirect jumps are emitted with their targets");
	}

	// ---- instructions ----

	#emitNode(node: Node, atStart: boolean): void {
		this.#node = node;
		for (const [n, entry] of node.instructions.entries()) {
			this.#entry = entry;
			this.atStart = atStart;
			this.deadFlags = this.#flagsAreDead(node, n);
			this.#emitOne(entry);
			this.code.releaseTemps();
			this.#spent++;
		}
		const last = node.instructions.at(-1)!;
		if (last.kind === "site" || (last.kind === "plain" && ENDS.has(last.instruction.row.semantic))) return;
		// goto() counts the instruction that jumps, and this one is counted.
		this.#spent--;
		this.goto(after(last));
	}

	#emitOne(entry: RegionInstruction): void {
		this.begin();
		if (entry.kind === "site") this.#site(entry.cell);
		else if (entry.kind === "gate") this.#gate(entry);
		else {
			const i = entry.instruction;
			this.instruction = i;
			const { semantic } = i.row;
			if (semantic === "ret") this.#return();
			else if (semantic === "jmp_indirect" || semantic === "call_indirect") this.#indirect(semantic);
			else {
				const before = this.moved(i);
				SEMANTICS[semantic]!(this, i);
				if (!i.row.branch) this.finish(i, before);
			}
		}
	}

	#flagsAreDead(node: Node, at: number): boolean {
		for (const later of node.instructions.slice(at + 1)) {
			if (later.kind !== "plain") return false;
			const { row, operands } = later.instruction;
			const leaves = operands.some(({ kind }) => kind === "mem") || row.branch || !QUIET.has(row.semantic);
			if (leaves || row.reads !== "") return false;
			if (REPLACES_FLAGS.has(row.semantic)) return true;
		}
		return false;
	}

	#site(cell: number): void {
		const { code } = this;
		const next = after(this.#entry);
		code.i32(0).memory("i32.load", AREA.sites + 4 * cell);
		const target = this.code.local("i32");
		code.set(target);
		const untraced = this.#node.to.get(next);
		const called = [...this.#node.to].find(([address]) => address !== next);
		if (untraced !== undefined) {
			code.get(target).i32(SITE.nop).op("i32.eq");
			code.if();
			this.#transfer(untraced);
			code.end();
		}
		if (called === undefined) {
			this.#unexpected();
			return;
		}
		code.get(target).i32(toKaddr(called[0])).op("i32.ne");
		code.if();
		this.#unexpected();
		code.end();
		emitCall(this, next);
		this.#transfer(called[1]);
	}

	#gate({ index, gate }: BoundGate): void {
		const { code } = this;
		const next = after(this.#entry);
		/** If the i32 on the stack is not zero. */
		const stop = (): void => {
			code.if();
			code.i32(0).i32(index).memory("i32.store", AREA.gate);
			code.i32(REASON.gate).set(this.why);
			this.#leave(next, this.#spent + 1);
			code.end();
		};
		if (gate.passes === "store") {
			// Whether it can be stored has to be known before the gate is called, which must not happen twice.
			const place = this.placeAt(this.address(this.near(RCX, gate.at)), 64, "w");
			const result = this.temp("i32");
			this.getRegister(gate.takes, 32).call(this.#gates.get(index)!).tee(result);
			code.if();
			code.get(result).i32(STOP).op("i32.eq");
			stop();
			code.get(result).op("i64.extend_i32_s");
			this.store(place, this.keep("i64"));
			code.end();
		} else {
			for (const register of ARGUMENT_REGISTERS) this.getRegister(register, 32);
			code.call(this.#gates.get(index)!);
			this.forgetHomes();
			stop();
			code.i32(0).memory("i32.load", AREA.epoch).get(this.#epoch).op("i32.ne");
			code.if();
			this.#leave(next, this.#spent + 1);
			code.end();
		}
	}

	#return(): void {
		const { code } = this;
		const address = code.local("i64");
		code.get(topOfStack(this, 64)).set(address);
		const extra = this.instruction!.operands[0];
		for (const [target, to] of this.#node.to) {
			code.get(address).i64(target).op("i64.eq");
			code.if();
			this.aside(() => {
				moveRsp(this, 8 + (extra?.kind === "imm" ? Number(extra.value) : 0));
				this.#transfer(to);
			});
			code.end();
		}
		this.#unexpected();
	}

	#indirect(semantic: "jmp_indirect" | "call_indirect"): void {
		const { code } = this;
		const address = code.local("i64");
		code.get(this.value(this.instruction!.operands[0]!)).set(address);
		for (const [target, to] of this.#node.to) {
			code.get(address).i64(target).op("i64.eq");
			code.if();
			this.aside(() => {
				if (semantic === "call_indirect") emitCall(this, after(this.#entry));
				this.#transfer(to);
			});
			code.end();
		}
		this.#unexpected();
	}

	// ---- the function around it ----

	/** What comes before the body; emitted behind it, when it is known which registers it uses. */
	prologue(): void {
		const { code } = this;
		code.i32(0).memory("i32.load", AREA.epoch).set(this.#epoch);
		this.emitEnter();
		code.if();
		code.i32(0).i64(this.#root.address).memory("i64.store", AREA.rip);
		code.i32(0).i32(toKaddr(this.#root.address)).memory("i32.store", AREA.refused);
		code.i32(0).i32(REASON.slow).memory("i32.store", AREA.reason);
		code.get(FUEL).op("return");
		code.end();
	}

	epilogue(runType: number): void {
		const { code } = this;
		this.emitLeave();
		code.i32(0).get(this.#rip).memory("i64.store", AREA.rip);
		code.i32(0).get(this.why).memory("i32.store", AREA.reason);
		code.i32(0).i32(toKaddr(this.#root.address)).memory("i32.store", AREA.refused);
		code.i32(0).i32(0).memory("i32.load", AREA.exits).i32(1).op("i32.add").memory("i32.store", AREA.exits);
		// The root would come straight back here.
		code.get(this.why).op("i32.eqz").get(this.#rip).i64(this.#root.address).op("i64.ne").op("i32.and");
		code.if();
		this.jumpTo(this.#rip, runType);
		code.end();
		code.get(FUEL);
	}
}

/** Not faulting, not leaving, and without a say in the flags of others. */
const QUIET = new Set<Semantic>([
	...["add", "sub", "cmp", "and", "or", "xor", "test", "neg", "not", "mov", "movzx", "movsx", "lea"],
	...["shl", "shr", "sar", "rol", "ror", "imul", "bswap", "nop", "convert", "spread", "xchg"],
] as Semantic[]);

/** Gates that the graph calls, in the order of their indices. */
function gatesOf(root: Node): BoundGate[] {
	const gates = instructionsOf(root).filter((entry) => entry.kind === "gate");
	return gates.sort((a, b) => a.index - b.index);
}

/** The instructions of the graph, each once. */
export function instructionsOf(root: Node): RegionInstruction[] {
	const found = new Map<bigint, RegionInstruction>();
	for (const { instructions } of allNodes(root)) for (const entry of instructions) found.set(entry.address, entry);
	return [...found.values()];
}

/** Says the same for two graphs only if their translations are the same. */
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

/** Fuel without which a translation of the graph does nothing. */
export function enoughFuel(root: Node): number {
	return allNodes(root).reduce((sum, { instructions }) => sum + instructions.length, 1);
}

/** A module with `run(_, fuel)` for the graph; it always starts at the root. */
export function translateHot(root: Node, memoryPages: number): Uint8Array<ArrayBuffer> {
	const gates = gatesOf(root);
	const imports = [
		{ name: "divide", signature: { params: [I32], results: [I32] } },
		...gates.map(({ index, gate }) => ({
			name: gateImport(index),
			signature: gate.passes === "store" ? STORE_GATE : ARGS_GATE,
		})),
	];
	const code = new Code(RUN.params.length);
	const first = imports.length;
	const functions = { divide: 0, flags: first, umulh: first + 1 };
	const emitter = new Emitter(code, functions, root, new Map(gates.map(({ index }, n) => [index, n + 1])));
	const body = code.out.splice(0);
	emitter.prologue();
	code.out.push(...body);
	emitter.epilogue(first + 2);
	return buildModule(memoryPages, imports, [
		flagsOfFunction(),
		umulhFunction(),
		{ signature: RUN, code, exportAs: "run" },
	]);
}
