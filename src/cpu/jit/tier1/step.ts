import { BACKING, isKaddr, PTE_SHADOWED, toKaddr } from "../../../memory/index.js";
import { ARGUMENT_REGISTERS, type Gate } from "../../cpu.js";
import type { MemoryOperand, RelativeOperand } from "../../x86/index.js";
import { AREA, jumpSlot, NEED, PTE_CODE, REASON, SITE } from "../area.js";
import {
	type Access,
	emitCall,
	FLAG_KIND,
	inStackSegment,
	jumpTo,
	LOADS,
	type Place,
	pageEntry,
	SEMANTICS,
	STORES,
	Translator,
} from "../semantics/index.js";
import type { Code, Label, Signature } from "../wasm/index.js";
import { after, type RegionInstruction } from "./region.js";

const I32 = "i32" as const;
/** Indices of the functions that translated code imports: of the host, and one that the host has compiled. */
const IMPORT = { place: 0, commit: 1, divide: 2, gate: 3 } as const;
/** In the order of IMPORT. */
export const IMPORTS: readonly { name: string; signature: Signature }[] = [
	{ name: "place", signature: { params: ["i64", I32, I32], results: [I32] } },
	{ name: "commit", signature: { params: [], results: [I32] } },
	{ name: "divide", signature: { params: [I32], results: [I32] } },
	{ name: "gate", signature: { params: [I32, I32, I32, I32, I32], results: [I32] } },
];

/** The functions of a module are its imports, then flagsOf, flags, umulh and run; types are numbered alike. */
export const FLAGS_OF = IMPORTS.length;
const FUNCTIONS = { divide: IMPORT.divide, flags: FLAGS_OF + 1, umulh: FLAGS_OF + 2 };
export const RUN_TYPE = FLAGS_OF + 3;
/** An address that the current instruction has: its own, the one behind it, or the target of a relative branch. */
export type Spot = "here" | "next" | "target";

export const ENTRY = 0;
export const FUEL = 1;

/**
 * Translation with the registers in memory, where every instruction is an entry and counts its fuel: a run can start and
 * stop anywhere, at no cost. `run(entry, fuel)` returns the fuel that is left, with rip and the reason in the area.
 */
export class StepTranslator extends Translator {
	/** The block in front of each instruction. A forward jump leaves the block of its target, with no dispatch. */
	labels: readonly Label[] = [];
	position = 0;
	readonly #index: ReadonlyMap<bigint, number>;
	readonly #dispatch: Label;
	readonly #exit: Label;
	/** The current instruction. */
	#entry: RegionInstruction | undefined;
	readonly #epoch: number;
	/** Set at the end of an instruction: the block to leave if it cannot complete, and the local for the REASON. */
	#bail: Label | undefined;
	readonly #why: number;
	/** Local that is set when a store changed translated code. */
	readonly #stale: number;
	/** The current instruction has stored to memory. */
	wrote = false;

	constructor(code: Code, index: ReadonlyMap<bigint, number>, exit: Label, dispatch: Label, epoch: number) {
		super(code, FUEL, FUNCTIONS);
		this.#why = code.local("i32");
		this.#stale = code.local("i32");
		this.#index = index;
		this.#exit = exit;
		this.#dispatch = dispatch;
		this.#epoch = epoch;
	}

	#address(spot: Spot): bigint {
		const entry = this.#entry!;
		if (spot === "here") return entry.address;
		if (spot === "next") return after(entry);
		if (entry.kind !== "plain") throw new Error("no branch");
		return (entry.instruction.operands[0] as RelativeOperand).target;
	}

	/** Pushes an address, as i64. */
	protected spot(spot: Spot): Code {
		return this.code.i64(this.#address(spot));
	}

	protected leave(spot: Spot): void {
		this.code.i32(0);
		this.spot(spot).memory("i64.store", AREA.rip).br(this.#exit);
	}

	override branch(): void {
		this.goto("target");
	}

	override returnAddress(): number {
		this.spot("next");
		return this.keep("i64");
	}

	/** Goes on at an address; nothing after it is reached. */
	goto(spot: Spot): void {
		const target = this.#address(spot);
		const index = this.#index.get(target);
		// A store of this instruction may have changed the code; the jump slots do not have dropped translations.
		if (index === undefined || this.wrote) {
			this.#chain(target);
			this.leave(spot);
			return;
		}
		if (index > this.position) this.code.br(this.labels[index]!);
		else this.code.i32(index).set(ENTRY).br(this.#dispatch);
	}

	/** Goes to the translation of an address that is known now, if there is one, without the host. */
	#chain(target: bigint): void {
		const { code } = this;
		if (isKaddr(target)) {
			const low = toKaddr(target);
			const slot = AREA.jumps + 16 * jumpSlot(low);
			code.i32(0).memory("i32.load", slot).i32(low).op("i32.eq");
			code.if();
			code
				.i32(0)
				.memory("i32.load", slot + 4)
				.get(FUEL);
			code
				.i32(0)
				.memory("i32.load", slot + 8)
				.tailCallIndirect(RUN_TYPE);
			code.end();
		}
	}

	override gotoDynamic(target: number): void {
		jumpTo(this.code, target, FUEL, RUN_TYPE);
		this.code.i32(0).get(target).memory("i64.store", AREA.rip).br(this.#exit);
	}

	#body(entry: RegionInstruction): void {
		if (entry.kind === "plain") {
			const emit = SEMANTICS[entry.instruction.row.semantic];
			if (emit === undefined) throw new Error(`no semantics for ${entry.instruction.row.semantic}`);
			emit(this, entry.instruction);
		} else if (entry.kind === "site") this.#site();
		else this.#gate(entry.gate);
	}

	/** Reads nop or call from the site's cell at run time, so that a text poke changes one word of data. */
	#site(): void {
		const { code } = this;
		this.siteCell();
		const target = this.keep("i32");
		code.get(target).i32(SITE.other).op("i32.eq");
		this.bailIf(REASON.site);
		code.get(target);
		code.if();
		emitCall(this);
		code.get(target).op("i64.extend_i32_s");
		this.gotoDynamic(this.keep("i64"));
		code.end();
	}

	#gate(gate: Gate): void {
		const { code } = this;
		if (gate.passes === "state") {
			code.i32(0);
			this.spot("next").memory("i64.store", AREA.rip);
		}
		this.gateIndex();
		for (const register of ARGUMENT_REGISTERS) this.getRegister(register, 32);
		code.call(IMPORT.gate);
		code.if();
		code.i32(0);
		this.gateIndex().memory("i32.store", AREA.gate);
		code.i32(0).i32(REASON.gate).memory("i32.store", AREA.reason);
		this.leave("next");
		code.end();
		code.i32(0).memory("i32.load", AREA.epoch).get(this.#epoch).op("i32.ne");
		code.if();
		this.leave("next");
		code.end();
	}

	/** Pushes the content of the current call site's cell. */
	protected siteCell(): Code {
		const entry = this.#entry!;
		if (entry.kind !== "site") throw new Error("no call site");
		return this.code.i32(0).memory("i32.load", AREA.sites + 4 * entry.cell);
	}

	/** Pushes the number of the current gate. */
	protected gateIndex(): Code {
		const entry = this.#entry!;
		if (entry.kind !== "gate") throw new Error("no gate");
		return this.code.i32(entry.index);
	}

	/** One instruction; falls through to the next one. */
	emit(entry: RegionInstruction): void {
		const { code } = this;
		this.#entry = entry;
		this.wrote = false;
		this.payTurn();
		const done = code.block();
		this.#bail = code.block();
		this.#body(entry);
		code.br(done);
		code.end();
		// Fuel was taken off for the instruction, which was not completed.
		code.get(FUEL).i32(1).op("i32.add").set(FUEL);
		code.i32(0).get(this.#why).memory("i32.store", AREA.reason);
		this.leave("here");
		code.end();
		if (this.wrote) {
			code.get(this.#stale);
			code.if();
			this.leave("next");
			code.end();
		}
		code.releaseTemps();
	}

	// ---- registers, memory and flags ----

	/** Pushes a base for the place of a register; returns the distance of the place from it. */
	protected registerPlace(reg: number, high: boolean): number {
		this.code.i32(0);
		return AREA.words + 8 * reg + (high ? 1 : 0);
	}
	override getRegister(reg: number, size: number, high = false): Code {
		const offset = this.registerPlace(reg, high);
		return this.code.memory(LOADS[size]!, offset);
	}
	override setRegister(reg: number, size: number, value: number, high = false): void {
		const offset = this.registerPlace(reg, high);
		this.code.get(value);
		if (size === 32) this.code.op("i64.extend_i32_u").memory("i64.store", offset);
		else this.code.memory(STORES[size]!, offset);
	}
	override bailIf(reason: number): void {
		this.code.if();
		this.code.i32(reason).set(this.#why).br(this.#bail!);
		this.code.end();
	}

	override payTurn(end: () => void = () => {}): void {
		const { code } = this;
		code.get(FUEL).op("i32.eqz");
		code.if();
		end();
		this.leave("here");
		code.end();
		code.get(FUEL).i32(1).op("i32.sub").set(FUEL);
	}

	/** Pushes `NEED.stack` if the operand is in the stack segment, else 0. */
	protected segmentNeed(of: MemoryOperand | undefined): Code {
		return this.code.i32(of !== undefined && inStackSegment(of) ? NEED.stack : 0);
	}

	/** Checks `bits` at the address for the access; leaves the place in the backing store in a local. SDM volume 3, 4.6. */
	#host(address: number, bits: number, access: Access, of: MemoryOperand | undefined): number {
		const { code } = this;
		const host = this.temp("i32");
		const entry = this.temp("i32");
		const need = NEED[access];
		code.get(address).i64(31n).op("i64.shr_s").i64(-1n).op("i64.eq");
		code.get(address).op("i32.wrap_i64").set(host);
		code.get(address);
		pageEntry(code);
		code.tee(entry);
		code
			.i32(need | PTE_SHADOWED | (access === "r" ? 0 : PTE_CODE))
			.op("i32.and")
			.i32(need)
			.op("i32.eq")
			.op("i32.and");
		code.get(host).i32(0xfff).op("i32.and").tee(host);
		code
			.i32(4096 - bits / 8)
			.op("i32.le_u")
			.op("i32.and");
		code.if();
		code.get(entry).i32(-4096).op("i32.and").get(host).op("i32.or").set(host);
		code.else();
		code.get(address).i32(bits / 8);
		this.segmentNeed(of).i32(need).op("i32.or").call(IMPORT.place).tee(host).op("i32.eqz");
		this.bailIf(REASON.fault);
		code.end();
		return host;
	}

	override placeAt(address: number, bits: number, access: Access, of?: MemoryOperand): Place {
		return { kind: "mem", host: this.#host(address, bits, access, of), offset: 0, size: bits, writes: access !== "r" };
	}
	/** The host copies the bytes from the bounce buffer, if the store went there. */
	override finishStore(place: Place): void {
		if (place.kind !== "mem") return;
		this.wrote = true;
		this.code.get(place.host).i32(BACKING.frames).op("i32.lt_u");
		this.code.if();
		this.code.call(IMPORT.commit).get(this.#stale).op("i32.or").set(this.#stale);
		this.code.end();
	}
	override setFlags(kind: number, size: number, a: number | undefined, b: number | undefined, r: number): void {
		const { code } = this;
		code
			.i32(0)
			.i32(kind | ((64 - size) << 4))
			.memory("i32.store", AREA.flagKind);
		this.#storeFlagOperand(AREA.flagA, size, a);
		this.#storeFlagOperand(AREA.flagB, size, b);
		this.#storeFlagOperand(AREA.flagR, size, r);
	}
	#storeFlagOperand(offset: number, size: number, value: number | undefined): void {
		this.code.i32(0);
		if (value === undefined) this.code.i64(0n);
		else this.widened(size, value);
		this.code.memory("i64.store", offset);
	}
	override fixCarry(carry: number): void {
		const { code } = this;
		code.i32(0).i32(0).memory("i32.load", AREA.flagKind);
		this.withCarry(carry);
		code.memory("i32.store", AREA.flagKind);
	}
	override fixCarryOverflow(carry: number, overflow: number): void {
		const { code } = this;
		code.i32(0).i32(0).memory("i32.load", AREA.flagKind);
		this.withCarry(carry);
		this.withOverflow(overflow);
		code.memory("i32.store", AREA.flagKind);
	}
	override flags(): number {
		this.code.call(this.functions.flags);
		return this.keep("i32");
	}
	override setEagerFlags(flags: number): void {
		const { code } = this;
		code.i32(0).i32(FLAG_KIND.eager).memory("i32.store", AREA.flagKind);
		code.i32(0).get(flags).op("i64.extend_i32_u").memory("i64.store", AREA.flagR);
	}
}
