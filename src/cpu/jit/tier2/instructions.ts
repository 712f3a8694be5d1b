import { toKaddr } from "../../../memory/index.js";
import { ARGUMENT_REGISTERS, RCX } from "../../cpu.js";
import type { Instruction, Semantic } from "../../x86/index.js";
import { AREA, REASON, SITE, STOP } from "../area.js";
import { emitCall, moveRsp, SEMANTICS, topOfStack } from "../semantics/index.js";
import { after, type BoundGate, ENDS, type RegionInstruction } from "../tier1/index.js";
import type { Node } from "./node.js";
import type { Way } from "./way.js";

/** These set all six flags, whatever their operands. */
const REPLACES_FLAGS = new Set<Semantic>(["add", "sub", "cmp", "and", "or", "xor", "test", "neg"]);
/** Semantics that cannot fault or leave the translation while their operands are registers. */
const QUIET = new Set<Semantic>([
	...["add", "sub", "cmp", "and", "or", "xor", "test", "neg", "not", "mov", "movzx", "movsx", "lea"],
	...["shl", "shr", "sar", "rol", "ror", "imul", "bswap", "nop", "convert", "spread", "xchg"],
] as Semantic[]);

/** Emits the instructions of a node, and the ways behind them. */
export function emitNode(way: Way, node: Node): void {
	way.node = node;
	for (const [n, entry] of node.instructions.entries()) {
		way.begin(entry, flagsAreDead(node, n));
		emitInstruction(way, entry);
		way.code.releaseTemps();
		way.spent++;
	}
	const last = node.instructions.at(-1)!;
	if (last.kind === "site" || (last.kind === "plain" && ENDS.has(last.instruction.row.semantic))) return;
	// goto() counts the instruction that jumps, and this one is counted.
	way.spent--;
	way.goto(after(last));
}

function emitInstruction(way: Way, entry: RegionInstruction): void {
	if (entry.kind === "site") emitSite(way, entry.cell);
	else if (entry.kind === "gate") emitGate(way, entry);
	else {
		const i = entry.instruction;
		const { semantic } = i.row;
		if (semantic === "ret") emitReturn(way, i);
		else if (semantic === "jmp_indirect" || semantic === "call_indirect") emitIndirect(way, i, semantic);
		else way.emit(i, SEMANTICS[semantic]!);
	}
}

/** The flags of an instruction are dead if one behind it replaces them before anything can read them. */
function flagsAreDead(node: Node, at: number): boolean {
	for (const later of node.instructions.slice(at + 1)) {
		if (later.kind !== "plain") return false;
		const { row, operands } = later.instruction;
		const leaves = operands.some(({ kind }) => kind === "mem") || row.branch || !QUIET.has(row.semantic);
		if (leaves || row.reads !== "") return false;
		if (REPLACES_FLAGS.has(row.semantic)) return true;
	}
	return false;
}

/** The call site's cell says at run time whether it is a nop or a call. A call with a target that was not seen leaves. */
function emitSite(way: Way, cell: number): void {
	const { code, node } = way;
	const next = after(way.entry);
	code.i32(0).memory("i32.load", AREA.sites + 4 * cell);
	// Nodes that are emitted before it is used free all temporary locals.
	const target = code.local("i32");
	code.set(target);
	const untraced = node.to.get(next);
	const called = [...node.to].find(([address]) => address !== next);
	if (untraced !== undefined) {
		code.get(target).i32(SITE.nop).op("i32.eq");
		code.if();
		way.goToNode(untraced);
		code.end();
	}
	if (called === undefined) {
		way.unexpected();
		return;
	}
	code.get(target).i32(toKaddr(called[0])).op("i32.ne");
	code.hint(false).if();
	way.unexpected();
	code.end();
	emitCall(way);
	way.goToNode(called[1]);
}

function emitGate(way: Way, { index, gate }: BoundGate): void {
	const { code, fn } = way;
	const next = after(way.entry);
	const call = fn.gates.get(index)!;
	/** If the i32 on the stack is not zero. */
	const stop = (): void => {
		code.hint(false).if();
		code.i32(0).i32(index).memory("i32.store", AREA.gate);
		fn.setReason(code, REASON.gate);
		way.leave(next, way.spent + 1);
		code.end();
	};
	if (gate.passes === "store") {
		// Whether the result can be stored has to be known before the gate is called, because it must not be called twice.
		const place = way.placeAt(way.address(way.near(RCX, gate.at)), 64, "w");
		const result = way.temp("i32");
		way.getRegister(gate.takes, 32).call(call).tee(result);
		code.if();
		code.get(result).i32(STOP).op("i32.eq");
		stop();
		code.get(result).op("i64.extend_i32_s");
		way.store(place, way.keep("i64"));
		code.end();
	} else {
		for (const register of ARGUMENT_REGISTERS) way.getRegister(register, 32);
		code.call(call);
		way.known.forgetHomes();
		stop();
		fn.textChanged(code);
		code.hint(false).if();
		way.leave(next, way.spent + 1);
		code.end();
	}
}

/** Goes to the node whose address is in the local; `emit`: the rest of the instruction. */
function emitTargets(way: Way, address: number, emit: (way: Way) => void): void {
	const { code } = way;
	let left = way.node.to.size;
	for (const [target, to] of way.node.to) {
		code.get(address).i64(target).op("i64.eq");
		if (--left === 0) code.hint(true);
		code.if();
		const taken = way.fork();
		emit(taken);
		taken.goToNode(to);
		code.end();
	}
	way.unexpected();
}

function emitReturn(way: Way, i: Instruction): void {
	const address = way.code.local("i64");
	way.code.get(topOfStack(way, 64)).set(address);
	const extra = i.operands[0];
	emitTargets(way, address, (taken) => moveRsp(taken, 8 + (extra?.kind === "imm" ? Number(extra.value) : 0)));
}

function emitIndirect(way: Way, i: Instruction, semantic: "jmp_indirect" | "call_indirect"): void {
	const address = way.code.local("i64");
	way.code.get(way.value(i.operands[0]!)).set(address);
	emitTargets(way, address, (taken) => {
		if (semantic === "call_indirect") emitCall(taken);
	});
}
