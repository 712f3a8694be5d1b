import { type Kaddr, toKaddr } from "../../../memory/index.js";
import type { Semantic } from "../../x86/index.js";
import { after, discover, instructionAt, type RegionInstruction, type Text } from "../tier1/index.js";
import { arrange } from "./arrange.js";
import { type Node, newNode } from "./node.js";
import type { Profile } from "./profile.js";
import { unrollLoops } from "./unroll.js";

const MAX_INSTRUCTIONS = 600;
const MAX_BLOCK = 64;

/** Instructions that only the first tier executes: they read the fuel, run long, or call the host. */
const ALONE = new Set<Semantic>(["rdtsc", "movs", "stos", "lods", "scas", "cmps", "cpuid", "enter"]);

/** The return addresses of the calls that have not returned, innermost first. */
interface Context {
	readonly returnTo: bigint;
	readonly outer: Context | undefined;
	readonly key: string;
}

/**
 * The code around `root` that the profile has seen, calls inlined: every jump, call and return that was seen leads to the
 * node it leads to. `unrolled`: the bodies of small loops are repeated. Undefined if only the first tier can execute the
 * first instruction.
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

	/** `fresh`: a function, or the rest of one, begins at the address. */
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
			// A site is a nop, or a call of one function; who changes it wants it to stay so.
			if (targets.includes(next)) go(next, context, false);
			const target = targets.find((address) => address !== next);
			if (target !== undefined) go(target, called(), true);
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
