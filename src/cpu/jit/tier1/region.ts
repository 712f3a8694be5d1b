import { type Kaddr, kaddrOf } from "../../../memory/index.js";
import type { Gate } from "../../cpu.js";
import type { Decoded, Instruction, NotDecoded, RelativeOperand, Semantic } from "../../x86/index.js";

/** The guest text, as translation sees it. */
export interface Text {
	/** `low`: the address in the window, or undefined. */
	decodeAt(address: bigint, low: Kaddr | undefined): Decoded;
	/** Cell number of the call site at the address. */
	site(low: Kaddr): number | undefined;
	gate(low: Kaddr): BoundGate | undefined;
	/** True if code must return to the host before it executes this address. */
	isBreakpoint(address: bigint): boolean;
	/** A translation of the second tier begins here, to which the first tier goes. */
	isHot(address: bigint): boolean;
}

interface At {
	readonly address: bigint;
	/** The same in the window, so that cold code needs few operations on BigInts; undefined outside of it. */
	readonly low: Kaddr | undefined;
}

export type RegionInstruction =
	| (At & { readonly kind: "plain"; readonly length: number; readonly instruction: Instruction })
	| (At & { readonly kind: "site"; readonly length: 5; readonly cell: number })
	| (At & { readonly kind: "gate"; readonly length: 1; readonly index: number; readonly gate: Gate });

/** A gate, and its number. */
export interface BoundGate {
	readonly index: number;
	readonly gate: Gate;
}

/** Enough for most functions; longer ones are several regions. */
const MAX_INSTRUCTIONS = 160;

/** Semantics after which the next instruction is not reached directly. */
export const ENDS: ReadonlySet<Semantic> = new Set<Semantic>(["jmp", "jmp_indirect", "call", "call_indirect", "ret"]);
const FAULTS: ReadonlySet<Semantic> = new Set<Semantic>(["int3", "ud2"]);

export function isFaulting(decoded: Decoded): decoded is NotDecoded {
	return "error" in decoded || FAULTS.has(decoded.row.semantic);
}

/** The instruction, call site or gate at the address, if it can be translated. */
export function instructionAt(text: Text, address: bigint, low = kaddrOf(address)): RegionInstruction | undefined {
	if (low !== undefined) {
		const cell = text.site(low);
		if (cell !== undefined) return { kind: "site", address, low, length: 5, cell };
		const gate = text.gate(low);
		if (gate !== undefined) return { kind: "gate", address, low, length: 1, index: gate.index, gate: gate.gate };
	}
	const decoded = text.decodeAt(address, low);
	if (isFaulting(decoded)) return undefined;
	return { kind: "plain", address, low, length: decoded.length, instruction: decoded };
}

/** The address behind an instruction. */
export function after(entry: RegionInstruction): bigint {
	return BigInt.asUintN(64, entry.address + BigInt(entry.length));
}

function successors(entry: RegionInstruction): bigint[] {
	const next = after(entry);
	if (entry.kind !== "plain") return [next];
	const { row, operands } = entry.instruction;
	const out = ENDS.has(row.semantic) ? [] : [next];
	if (row.branch && operands[0]?.kind === "rel" && row.semantic !== "call") {
		out.push((operands[0] as RelativeOperand).target);
	}
	return out;
}

/**
 * The instructions reachable from `start` by direct jumps and by falling through, ordered by address. Code that cannot be
 * decoded (yet) is left out: running into it goes back to the host, which raises the fault.
 */
export function discover(text: Text, start: bigint): RegionInstruction[] {
	const found = new Map<bigint, RegionInstruction>();
	const work = [start];
	while (work.length > 0 && found.size < MAX_INSTRUCTIONS) {
		const address = work.pop()!;
		if (found.has(address)) continue;
		if (address !== start && (text.isBreakpoint(address) || text.isHot(address))) continue;
		const entry = instructionAt(text, address);
		if (entry === undefined) continue;
		found.set(address, entry);
		if (address === start && text.isBreakpoint(address)) break;
		work.push(...successors(entry).reverse());
	}
	return [...found.values()].sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
}
