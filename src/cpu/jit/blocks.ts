import { BACKING } from "../../memory/index.js";
import type { MemoryOperand, Semantic } from "../x86/index.js";
import { AREA } from "./area.js";
import type { RegionInstruction } from "./region.js";
import { FUEL, StepTranslator } from "./step.js";
import { type Access, PTE_CODE, type Translator } from "./translator.js";
import type { Code } from "./wasm.js";

const RSP = 4;

/** The stack page that was last checked for reading and writing. A frame of 0, which no page has, says that there is none. */
interface StackPage {
	readonly base: number;
	readonly frame: number;
}

/**
 * A basic block as one piece: paid for at once, registers in locals, written back where the block is left. When an
 * instruction cannot complete, the registers so far go back to memory and the unused fuel is returned.
 */
export class BlockTranslator extends StepTranslator {
	readonly #registers: number[];
	#used = new Set<number>();
	#dirty = new Set<number>();
	readonly #stack: StackPage;
	#onStack = false;
	/** By instruction of the block, from the dry run: can it bail? Undefined in the dry run itself. */
	#bailing: boolean[] | undefined;
	#deadFlags = false;

	constructor(...args: ConstructorParameters<typeof StepTranslator>) {
		super(...args);
		this.#registers = Array.from({ length: 16 }, () => this.code.local("i64"));
		this.#stack = { base: this.code.local("i64"), frame: this.code.local("i32") };
	}

	override getRegister(reg: number, size: number, high = false): Code {
		this.#used.add(reg);
		const { code } = this;
		code.get(this.#registers[reg]!);
		if (size === 64) return code;
		code.op("i32.wrap_i64");
		if (high) code.i32(8).op("i32.shr_u");
		this.mask(size);
		return code;
	}

	override setRegister(reg: number, size: number, value: number, high = false): void {
		this.#used.add(reg);
		this.#dirty.add(reg);
		const { code } = this;
		const local = this.#registers[reg]!;
		if (size >= 32) {
			code.get(value);
			if (size === 32) code.op("i64.extend_i32_u");
			code.set(local);
			return;
		}
		const mask = size === 16 ? 0xffffn : high ? 0xff00n : 0xffn;
		code.get(local).i64(~mask).op("i64.and").get(value).op("i64.extend_i32_u");
		if (high) code.i64(8n).op("i64.shl");
		code.i64(mask).op("i64.and").op("i64.or").set(local);
	}

	override register64(reg: number): number {
		const local = super.register64(reg);
		this.#onStack = reg === RSP;
		return local;
	}

	override address(operand: MemoryOperand, adjust?: number): number {
		const local = super.address(operand, adjust);
		this.#onStack = operand.base === RSP && operand.index < 0 && !operand.gs && !operand.address32;
		return local;
	}

	/** Stack accesses stay in one page most of the time. */
	override host(address: number, bits: number, access: Access): number {
		const stack = this.#onStack || this.instruction?.row.semantic.startsWith("push") || this.instruction === undefined;
		this.#onStack = false;
		if (!stack) return super.host(address, bits, access);
		const { code } = this;
		const host = this.temp("i32");
		code
			.get(address)
			.get(this.#stack.base)
			.op("i64.sub")
			.i64(BigInt(4096 - bits / 8))
			.op("i64.le_u");
		code.get(this.#stack.frame).i32(0).op("i32.ne").op("i32.and");
		code.if();
		code.get(address).get(this.#stack.base).op("i64.sub").op("i32.wrap_i64").get(this.#stack.frame).op("i32.add");
		code.set(host);
		code.else();
		code.get(super.host(address, bits, access)).set(host);
		this.#remember(address, host);
		code.end();
		return host;
	}

	/** Takes the page over when it is in the window, may be read and written, and holds no code. */
	#remember(address: number, host: number): void {
		const { code } = this;
		code.get(address).op("i32.wrap_i64").i32(10).op("i32.shr_u").i32(0x1ffffc).op("i32.and");
		code
			.memory("i32.load", BACKING.pageTable)
			.i32(3 | PTE_CODE)
			.op("i32.and")
			.i32(3)
			.op("i32.eq");
		code.get(host).i32(BACKING.frames).op("i32.ge_u").op("i32.and");
		code.if();
		code.get(address).i64(-4096n).op("i64.and").set(this.#stack.base);
		code.get(host).i32(-4096).op("i32.and").set(this.#stack.frame);
		code.end();
	}

	override setFlags(...args: Parameters<Translator["setFlags"]>): void {
		if (!this.#deadFlags) super.setFlags(...args);
	}
	override setEagerFlags(flags: number): void {
		if (!this.#deadFlags) super.setEagerFlags(flags);
	}

	override beforeLeaving(): void {
		for (const reg of this.#dirty)
			this.code
				.i32(0)
				.get(this.#registers[reg]!)
				.memory("i64.store", AREA.words + 8 * reg);
	}

	/** Nobody can see the flags of instruction `at`: a later one replaces them all before anything can look or stop. */
	#flagsAreDead(block: readonly RegionInstruction[], at: number): boolean {
		const entry = block[at]!;
		if (entry.kind !== "plain" || !PLAIN_FLAGS.has(entry.instruction.row.semantic)) return false;
		for (let n = at + 1; n < block.length; n++) {
			const later = block[n]!;
			if (later.kind !== "plain" || this.#bailing?.[n] !== false) return false;
			const { row } = later.instruction;
			if (row.reads !== "" || row.branch) return false;
			if (REPLACES_FLAGS.has(row.semantic)) return true;
		}
		return false;
	}

	#emitAll(block: readonly RegionInstruction[]): boolean[] {
		const { code } = this;
		return block.map((entry, n) => {
			const next = BigInt.asUintN(64, entry.address + BigInt(entry.length));
			this.wrote = false;
			this.bails = false;
			this.#onStack = false;
			this.#deadFlags = this.#flagsAreDead(block, n);
			this.instruction = entry.kind === "plain" ? entry.instruction : undefined;
			const done = code.block();
			this.bail = code.block();
			this.body(entry, next);
			code.br(done);
			code.end();
			if (this.bails) this.undo(entry.address, block.length - n);
			else code.op("unreachable");
			code.end();
			if (this.wrote) {
				code.get(this.stale);
				code.if();
				code
					.get(FUEL)
					.i32(block.length - n - 1)
					.op("i32.add")
					.set(FUEL);
				this.leave(next);
				code.end();
			}
			code.releaseTemps();
			return this.bails || this.wrote;
		});
	}

	/** The block in front of the single steps of its first instruction, taken when there is fuel for all of it. */
	emitBlock(block: readonly RegionInstruction[], at: number): void {
		const { code } = this;
		this.position = at;
		this.#used = new Set();
		this.#dirty = new Set();
		this.#bailing = undefined;
		// A dry run says which registers to load, and what can bail.
		code.get(FUEL).i32(block.length).op("i32.ge_u");
		code.if();
		const start = code.out.length;
		const bailing = this.#emitAll(block);
		code.out.length = start;
		this.#bailing = bailing;
		this.#dirty = new Set();
		code.get(FUEL).i32(block.length).op("i32.sub").set(FUEL);
		for (const reg of this.#used)
			code
				.i32(0)
				.memory("i64.load", AREA.words + 8 * reg)
				.set(this.#registers[reg]!);
		this.#emitAll(block);
		const last = block.at(-1)!;
		this.wrote = false;
		this.goto(BigInt.asUintN(64, last.address + BigInt(last.length)));
		code.end();
	}

	/** The host may have changed the mapping. */
	forgetStack(): void {
		this.code.i64(0n).set(this.#stack.base);
	}
}

/** Their flags can be left out when nobody looks: they set them as a whole, in one place. */
const PLAIN_FLAGS = new Set<Semantic>([
	"add",
	"sub",
	"cmp",
	"and",
	"or",
	"xor",
	"test",
	"neg",
	"rol",
	"ror",
	"shl",
	"shr",
	"sar",
]);
/** These set all six flags, whatever their operands. */
const REPLACES_FLAGS = new Set<Semantic>(["add", "sub", "cmp", "and", "or", "xor", "test", "neg"]);
/** Not in blocks: they look at the fuel, run long, or let the host in. */
const ALONE = new Set<Semantic>(["rdtsc", "movs", "stos", "lods", "scas", "cmps", "cpuid", "enter"]);

/** Index of each block's first instruction, with the index after its last one. */
export function findBlocks(
	instructions: readonly RegionInstruction[],
	isBreakpoint: (address: bigint) => boolean,
): Map<number, number> {
	const next = (e: RegionInstruction): bigint => BigInt.asUintN(64, e.address + BigInt(e.length));
	const alone = (e: RegionInstruction): boolean =>
		e.kind === "gate" || (e.kind === "plain" && ALONE.has(e.instruction.row.semantic));
	const ends = (e: RegionInstruction): boolean => e.kind !== "plain" || e.instruction.row.branch;
	const targets = new Set<bigint>();
	for (const e of instructions) {
		const target = e.kind === "plain" ? e.instruction.operands[0] : undefined;
		if (target?.kind === "rel") targets.add(target.target);
	}
	const out = new Map<number, number>();
	for (let n = 0; n < instructions.length; ) {
		let end = n;
		while (end < instructions.length) {
			const entry = instructions[end]!;
			if (alone(entry) || isBreakpoint(entry.address)) break;
			if (end > n && (targets.has(entry.address) || next(instructions[end - 1]!) !== entry.address)) break;
			end++;
			if (ends(entry)) break;
		}
		if (end > n) out.set(n, end);
		n = Math.max(end, n + 1);
	}
	return out;
}
