import type { Instruction, MemoryOperand, RelativeOperand } from "../../x86/index.js";
import { REASON } from "../area.js";
import { type Access, type MemoryPlace, type Place, Translator } from "../semantics/index.js";
import { after, FUEL, type RegionInstruction } from "../tier1/index.js";
import type { Code } from "../wasm/index.js";
import { READ, type Where, WRITE } from "./access-plan.js";
import { mayKeepFlags } from "./flags.js";
import type { HotFunction } from "./function.js";
import type { Known } from "./known.js";
import type { Node } from "./node.js";

/** The parts of emitting a stretch of nodes that differ between a draft and the final code. */
export interface Part {
	/** The node where the stretch begins. */
	readonly root: Node;
	/** The body that is emitted into. */
	readonly code: Code;
	/** Goes on in a node that no other way leads to. */
	enter(way: Way, node: Node): void;
	/** Goes to a node that other ways lead to as well. */
	join(way: Way, node: Node): void;
	/** Checks an access to the address in the local; its place in the backing store. */
	access(way: Way, where: Where, address: number, bytes: number, need: number): { host: number; offset: number };
}

/**
 * One way through a stretch of nodes, as a translator: the registers, the lazy flags and checked pages are in locals. Where
 * ways part, each goes on with its own copy of what is known. An instruction that cannot be done here leaves the function
 * in front of it, and the first tier does it exactly.
 */
export class Way extends Translator {
	readonly fn: HotFunction;
	readonly stretch: Part;
	readonly known: Known;
	node: Node;
	/** The current instruction, and whether the next ones replace its flags. */
	entry: RegionInstruction;
	deadFlags = false;
	/** Instructions done since fuel was last taken off. */
	spent = 0;

	constructor(fn: HotFunction, stretch: Part, node: Node, known: Known) {
		super(stretch.code, FUEL, fn.functions);
		this.fn = fn;
		this.stretch = stretch;
		this.known = known;
		this.node = node;
		this.entry = node.instructions[0]!;
	}

	/** A way that branches off at the current instruction. */
	fork(): Way {
		const way = new Way(this.fn, this.stretch, this.node, this.known.fork());
		way.entry = this.entry;
		way.spent = this.spent;
		return way;
	}

	/** The current instruction, if it is neither a call site nor a gate. */
	get instruction(): Instruction | undefined {
		return this.entry.kind === "plain" ? this.entry.instruction : undefined;
	}

	// ---- where it goes on ----

	/** Goes on at the address in the first tier; `spent`: instructions done that are not paid for. */
	leave(address: bigint, spent: number): void {
		const { code, fn } = this;
		fn.payFuel(code, spent);
		// A register whose value is also in memory is loaded here, so that V8 need not keep its local only for the
		// exit.
		for (const [reg, { host, offset }] of this.known.homes()) {
			code.get(host).memory("i64.load", offset);
			fn.registers.refresh(code, reg);
		}
		fn.leave(code, address);
	}

	/** Leaves in front of the current instruction, whose target is not in the profile. */
	unexpected(): void {
		this.leave(this.entry.address, this.spent);
	}

	/** Leaves in front of the current instruction, which cannot be done here. */
	override bailIf(): void {
		this.code.hint(false).if();
		this.fn.setReason(this.code, REASON.slow);
		this.leave(this.entry.address, this.spent);
		this.code.end();
	}

	override branch(i: Instruction): void {
		this.goto((i.operands[0] as RelativeOperand).target);
	}

	override ifTaken(i: Instruction): void {
		const taken = this.node.to.has((i.operands[0] as RelativeOperand).target);
		const passed = this.node.to.has(after(this.entry));
		if (taken !== passed) this.code.hint(taken);
		this.code.if();
	}

	override payTurn(): void {
		throw new Error("only the first tier repeats instructions");
	}

	override returnAddress(): number {
		return this.constant(64, after(this.entry));
	}

	/** Goes on at a known address; nothing after it is reached. */
	goto(target: bigint): void {
		const to = this.node.to.get(target);
		if (to === undefined) this.leave(target, this.spent + 1);
		else this.goToNode(to);
	}

	/** Goes from the end of the current instruction to another node of the graph. */
	goToNode(to: Node): void {
		const way = this.fork();
		way.spent++;
		if (to.order <= this.node.order || to.isMerge || to.isLoop) this.stretch.join(way, to);
		else this.stretch.enter(way, to);
	}

	override gotoDynamic(): void {
		throw new Error("indirect jumps are emitted with their targets");
	}

	// ---- registers ----

	override getRegister(reg: number, size: number, high = false): Code {
		const { registers } = this.fn;
		if (size === 8 && !high && this.known.lowBytes.has(reg)) return registers.getLow(this.code, reg);
		const code = registers.get(this.code, reg);
		if (size === 64) return code;
		code.op("i32.wrap_i64");
		if (high) code.i32(8).op("i32.shr_u");
		this.mask(size);
		return code;
	}

	override setRegister(reg: number, size: number, value: number, high = false): void {
		this.known.setRegister(reg, size, value);
		const { registers } = this.fn;
		const { lowBytes } = this.known;
		if (size === 8 && !high) {
			registers.setLow(this.code, reg, value, lowBytes.has(reg));
			lowBytes.add(reg);
		} else {
			registers.set(this.code, reg, size, value, high);
			lowBytes.delete(reg);
		}
	}

	// ---- memory ----

	override address(operand: MemoryOperand, adjust?: number): number {
		const local = super.address(operand, adjust);
		this.known.addressed(operand, adjust !== undefined, local);
		return local;
	}

	override placeAt(address: number, bits: number, access: Access): MemoryPlace {
		const need = (access.includes("r") ? READ : 0) | (access.includes("w") ? WRITE : 0);
		const place = this.stretch.access(this, this.known.where(address), address, bits / 8, need);
		return { kind: "mem", ...place, size: bits, writes: access !== "r" };
	}

	override load(place: Place): number {
		const value = super.load(place);
		if (this.instruction === undefined) return value;
		if (place.kind === "mem") this.known.loaded(this.instruction, place, value);
		else if (place.operand.size === 64) this.known.readRegister(this.instruction, place.operand.reg, value);
		return value;
	}

	override store(place: Place, value: number): void {
		super.store(place, value);
		if (place.kind === "mem") this.known.stored(place, value);
	}

	/** Pages with code are refused, and there is no bounce buffer here. */
	override finishStore(place: Place): void {
		if (place.kind === "mem") this.known.overwritten(place);
	}

	// ---- flags ----

	override setFlags(kind: number, size: number, a: number | undefined, b: number | undefined, r: number): void {
		// Until a later instruction replaces them, nothing can see them.
		if (this.deadFlags) return;
		this.known.setter = this.fn.flags.set(this, this.instruction!, kind, size, a, b, r);
	}

	override fixCarry(carry: number): void {
		if (this.deadFlags) return;
		this.known.setter = this.fn.flags.fixCarry(this, this.known.setter, carry);
	}

	override fixCarryOverflow(carry: number, overflow: number): void {
		if (this.deadFlags) return;
		this.fixCarry(carry);
		this.known.setter = this.fn.flags.fixOverflow(this, this.known.setter, overflow);
	}

	override setEagerFlags(flags: number): void {
		this.fn.flags.setEager(this.code, flags);
		this.known.setter = undefined;
	}

	override flags(): number {
		this.fn.flags.push(this.code, this.functions.flags);
		return this.keep("i32");
	}

	override carry(): number {
		const { setter } = this.known;
		if (this.deadFlags && this.instruction!.row.reads === "") return this.constant(32, 0n);
		if (setter !== undefined && this.fn.flags.pushCarry(this.code, setter)) return this.keep("i32");
		return super.carry();
	}

	override condition(condition: number): void {
		const { setter } = this.known;
		const known = setter !== undefined && this.fn.flags.pushCondition(this, condition >> 1, setter);
		if (!known) super.condition(condition);
		else if ((condition & 1) === 1) this.code.op("i32.eqz");
	}

	// ---- instructions ----

	begin(entry: RegionInstruction, deadFlags: boolean): void {
		this.entry = entry;
		this.deadFlags = deadFlags;
		this.known.beginInstruction();
	}

	/** Emits the current instruction with the given semantics. */
	emit(i: Instruction, semantics: (t: Translator, i: Instruction) => void): void {
		const before = this.known.beforeAdding(i);
		semantics(this, i);
		if (i.row.branch) return;
		if (mayKeepFlags(i)) this.known.setter = undefined;
		this.known.added(i, before);
	}
}
