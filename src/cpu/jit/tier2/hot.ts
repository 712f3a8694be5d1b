import { BACKING } from "../../../memory/index.js";
import type { Instruction, MemoryOperand, Semantic } from "../../x86/index.js";
import { AREA } from "../area.js";
import {
	type Access,
	type FunctionIndices,
	LazyFlags,
	type MemoryPlace,
	type Place,
	PTE_CODE,
} from "../semantics/index.js";
import type { Code, Label } from "../wasm/index.js";

const RSP = 4;
const READ = 1;
const WRITE = 2;
const PAGE = 4096;
/** Accesses further apart are checked apart. */
const MAX_SPAN = 1024;

/** A value that is known to be `offset` from one of which we know nothing else but its number. */
interface Symbol {
	readonly value: number;
	readonly offset: number;
}

/** What an address is made of. */
interface Where {
	/** The same for the same registers. */
	readonly registers: string;
	/** The same for the same values in them. */
	readonly values: string;
	readonly offset: number;
	/** The address itself, when it is known. */
	readonly absolute: bigint | undefined;
	/** The operand, when its registers are as they were where the tree of nodes began. */
	readonly early: MemoryOperand | undefined;
}

/** Accesses at fixed distances from each other: the first one checks for all. */
interface Group {
	low: number;
	high: number;
	need: number;
	/** Local with the place of `low` in the backing store, once it has been checked. */
	host: number | undefined;
	/** Can be checked where the tree begins: how its addresses are made there. */
	readonly early: Where | undefined;
}

/** A page that was checked for what its users need: every hit is a valid translation. */
interface CachedPage {
	readonly base: number;
	readonly frame: number;
	readonly need: number;
}

/**
 * Emits code with the registers, the lazy flags and checked pages in locals. Whatever cannot be done here leaves the
 * translation in front of the instruction, for the first tier to do it exactly.
 */
export abstract class HotTranslator extends LazyFlags {
	readonly registers: readonly number[];
	readonly used = new Set<number>();
	readonly dirty = new Set<number>();
	readonly pages = new Map<string, CachedPage>();
	/** In the first node of a tree. */
	atStart = false;
	/** Nothing is emitted for good: which accesses there are is being found out. */
	planning = false;
	#groups: Group[] = [];
	#open = new Map<string, readonly Group[]>();
	#access = 0;
	/** What is in each register. */
	#symbols: Symbol[] = [];
	#nextValue = 0;
	/** Registers whose 64 bits are in memory as well, and where. */
	#homes = new Map<number, MemoryPlace>();
	// Of locals of the current instruction: which address it is, which symbol, and where it was loaded from.
	readonly #where = new Map<number, Where>();
	readonly #derived = new Map<number, Symbol>();
	readonly #loaded = new Map<number, MemoryPlace>();

	constructor(code: Code, fuel: number, functions: FunctionIndices) {
		super(code, fuel, functions);
		this.registers = Array.from({ length: 16 }, () => code.local("i64"));
	}

	/** Leaves in front of the instruction, for the first tier. */
	abstract refuse(): void;

	override bailIf(): void {
		this.code.if();
		this.refuse();
		this.code.end();
	}

	// ---- registers ----

	override getRegister(reg: number, size: number, high = false): Code {
		this.used.add(reg);
		const { code } = this;
		code.get(this.registers[reg]!);
		if (size === 64) return code;
		code.op("i32.wrap_i64");
		if (high) code.i32(8).op("i32.shr_u");
		this.mask(size);
		return code;
	}

	override setRegister(reg: number, size: number, value: number, high = false): void {
		this.used.add(reg);
		this.dirty.add(reg);
		const { code } = this;
		const local = this.registers[reg]!;
		this.#symbols[reg] = (size === 64 ? this.#derived.get(value) : undefined) ?? this.#fresh();
		this.#noteHome(reg, size === 64 ? this.#loaded.get(value) : undefined);
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

	// ---- where else registers are ----

	override load(place: Place): number {
		const value = super.load(place);
		if (!MOVES_VALUES.has(this.instruction!.row.semantic)) return value;
		if (place.kind === "mem") this.#loaded.set(value, place);
		else if (place.operand.size === 64) this.#derived.set(value, this.#symbols[place.operand.reg]!);
		return value;
	}

	override store(place: Place, value: number): void {
		super.store(place, value);
		const symbol = this.#derived.get(value);
		if (place.kind !== "mem" || symbol === undefined) return;
		for (const [reg, { value, offset }] of this.#symbols.entries()) {
			if (value === symbol.value && offset === symbol.offset) this.#noteHome(reg, place);
		}
	}

	/** Pages with code are refused, and there is no bounce buffer here. */
	override finishStore(place: Place): void {
		if (place.kind !== "mem") return;
		for (const [reg, home] of this.#homes) {
			const apart = place.offset + place.size / 8 <= home.offset || home.offset + 8 <= place.offset;
			if (home.host !== place.host || !apart) this.#homes.delete(reg);
		}
	}

	#noteHome(reg: number, home: MemoryPlace | undefined): void {
		if (home?.size === 64) this.#homes.set(reg, home);
		else this.#homes.delete(reg);
	}

	/** Somebody else may have written to memory. */
	forgetHomes(): void {
		this.#homes = new Map();
	}

	/** Emits what is reached in other ways too, where nothing is known to be in memory. */
	withoutHomes(emit: () => void): void {
		const homes = this.#homes;
		this.#homes = new Map();
		emit();
		this.#homes = homes;
	}

	/**
	 * Takes from memory what is there too. Before leaving: what is needed by a way out only must not occupy a register, or a
	 * place on V8's stack, on the way through.
	 */
	loadHomes(): void {
		for (const [reg, { host, offset }] of this.#homes) {
			this.code.get(host).memory("i64.load", offset).set(this.registers[reg]!);
		}
	}

	#fresh(): Symbol {
		return { value: this.#nextValue++, offset: 0 };
	}

	// ---- what is known about values ----

	/** Emits a tree of nodes twice: to find out what they access, and for good. `between`: goes around the second time. */
	twice(emit: () => void, between: (emit: () => void) => void): void {
		const outer = [this.#groups, this.#open, this.#access, this.#symbols, this.#homes] as const;
		this.#groups = [];
		const length = this.code.out.length;
		this.planning = true;
		this.#restart();
		emit();
		this.planning = false;
		this.code.out.length = length;
		this.#restart();
		between(emit);
		[this.#groups, this.#open, this.#access, this.#symbols, this.#homes] = outer;
	}

	#restart(): void {
		this.#open = new Map();
		this.#access = 0;
		this.#nextValue = 0;
		this.#symbols = Array.from({ length: 16 }, () => this.#fresh());
		this.#homes = new Map();
	}

	/** Emits what only one of several ways goes through: what is learnt there is forgotten again. */
	aside(emit: () => void): void {
		const [open, symbols, homes] = [this.#open, this.#symbols, this.#homes];
		this.#open = new Map(open);
		this.#symbols = [...symbols];
		this.#homes = new Map(homes);
		emit();
		[this.#open, this.#symbols, this.#homes] = [open, symbols, homes];
	}

	/** Before each instruction. */
	begin(): void {
		this.#where.clear();
		this.#derived.clear();
		this.#loaded.clear();
	}

	/** After each instruction: adding a constant keeps what is known about a register. */
	override finish(i: Instruction, before: Symbol | undefined): void {
		super.finish(i);
		const [to, by] = i.operands;
		if (before === undefined || to?.kind !== "reg" || by?.kind !== "imm") return;
		const distance = Number(BigInt.asIntN(64, by.value)) * (i.row.semantic === "add" ? 1 : -1);
		this.#symbols[to.reg] = { value: before.value, offset: before.offset + distance };
	}
	/** To be handed to {@link finish}: what is known about a register that a constant is added to. */
	moved(i: Instruction): Symbol | undefined {
		const [to, by] = i.operands;
		const moves = MOVING.has(i.row.semantic) && to?.kind === "reg" && to.size === 64 && by?.kind === "imm";
		return moves ? this.#symbols[to.reg] : undefined;
	}

	override address(operand: MemoryOperand, adjust?: number): number {
		const local = super.address(operand, adjust);
		const { base, index, scale } = operand;
		const distance = Number(BigInt.asIntN(64, operand.disp));
		const exact = adjust === undefined && !operand.address32 && Number.isSafeInteger(distance);
		const symbol = (reg: number): Symbol => (reg < 0 ? { value: -1, offset: 0 } : this.#symbols[reg]!);
		const offset = symbol(base).offset + symbol(index).offset * scale + distance;
		const registers = `${base} ${index} ${scale}${operand.gs ? " gs" : ""}${exact ? "" : " odd"}`;
		const values = exact
			? `${symbol(base).value} ${symbol(index).value} ${scale}${operand.gs ? " gs" : ""}`
			: `odd ${this.#access}`;
		const absolute = exact && base < 0 && index < 0 && !operand.gs ? BigInt.asUintN(64, operand.disp) : undefined;
		const asAtStart = exact && !operand.gs && (base >= 0 || index >= 0);
		const early = asAtStart && this.#isInitial(base) && this.#isInitial(index) ? operand : undefined;
		this.#where.set(local, { registers, values, offset: exact ? offset : 0, absolute, early });
		if (exact && base >= 0 && index < 0 && !operand.gs) {
			this.#derived.set(local, { value: symbol(base).value, offset });
		}
		return local;
	}

	#isInitial(reg: number): boolean {
		return reg < 0 || this.#symbols[reg]!.value === reg;
	}

	// ---- memory ----

	override placeAt(address: number, bits: number, access: Access): Place {
		const bytes = bits / 8;
		const where = this.#where.get(address) ?? {
			registers: "odd",
			values: `odd ${this.#access}`,
			offset: 0,
			absolute: undefined,
			early: undefined,
		};
		const need = (access.includes("r") ? READ : 0) | (access.includes("w") ? WRITE : 0);
		const number = this.#access++;
		if (this.planning) {
			this.#groups[number] = this.#join(where, bytes, need);
			return { kind: "mem", host: this.temp("i32"), offset: 0, size: bits, writes: access !== "r" };
		}
		const group = this.#groups[number]!;
		if (group.host === undefined) {
			group.host = this.code.local("i32");
			const start = where.offset - group.low;
			if (where.absolute !== undefined) this.#checkAbsolute(group, where.absolute - BigInt(start));
			else this.#check(group, this.#page(where, group.need), address, start);
			this.code.set(group.host);
		}
		return { kind: "mem", host: group.host, offset: where.offset - group.low, size: bits, writes: access !== "r" };
	}

	#join(where: Where, bytes: number, need: number): Group {
		const low = where.offset;
		const high = low + bytes;
		const open = this.#open.get(where.values) ?? [];
		const page = (offset: number): bigint => (where.absolute! + BigInt(offset - low)) >> 12n;
		const known = open.find(
			(group) =>
				Math.max(group.high, high) - Math.min(group.low, low) <= MAX_SPAN &&
				(where.absolute === undefined || page(group.low) === page(low)),
		);
		if (known === undefined) {
			const early = this.atStart && where.early !== undefined ? where : undefined;
			const group: Group = { low, high, need, host: undefined, early };
			this.#open.set(where.values, [...open, group]);
			return group;
		}
		known.low = Math.min(known.low, low);
		known.high = Math.max(known.high, high);
		known.need |= need;
		return known;
	}

	#page(where: Where, need: number): CachedPage {
		const writes = where.registers.startsWith(`${RSP} -1`) || (need & WRITE) !== 0;
		const key = `${where.registers} ${writes ? "w" : "r"}`;
		const known = this.pages.get(key);
		if (known !== undefined) return known;
		const page = {
			base: this.code.local("i64"),
			frame: this.code.local("i32"),
			need: writes ? READ | WRITE : READ,
		};
		this.pages.set(key, page);
		return page;
	}

	/** Groups that can be checked where their tree begins, one for each page that is remembered. */
	#earlyGroups(): { group: Group; page: CachedPage; where: Where }[] {
		const found = new Map<CachedPage, { group: Group; page: CachedPage; where: Where }>();
		for (const group of new Set(this.#groups)) {
			if (group.early === undefined) continue;
			const page = this.#page(group.early, group.need);
			if (!found.has(page)) found.set(page, { group, page, where: group.early });
		}
		return [...found.values()];
	}

	/** Checks what can be checked here; goes to `miss` when a page is another one. False when there is nothing to check. */
	checkEarly(miss: () => Label): boolean {
		const groups = this.#earlyGroups();
		if (groups.length === 0) return false;
		const label = miss();
		for (const { group, page, where } of groups) {
			const offset = this.#outside(group, page, this.#firstOf(group, where));
			this.code.brIf(label);
			group.host = this.code.local("i32");
			this.#hostOf(page, offset).set(group.host);
		}
		this.code.releaseTemps();
		return true;
	}

	/** After a miss of {@link checkEarly}: finds the pages, or refuses. */
	findEarly(): void {
		for (const { group, page, where } of this.#earlyGroups()) {
			const first = this.#firstOf(group, where);
			this.#outside(group, page, first);
			this.code.if();
			this.#find(page, first, group.high - group.low);
			this.code.end();
		}
		this.code.releaseTemps();
	}

	/** The first address of a group whose registers are as they were at the start. */
	#firstOf(group: Group, { early }: Where): number {
		const { base, index, scale } = early!;
		const operand = { ...this.near(base, 0), index, scale, disp: BigInt(group.low) };
		return super.address(operand);
	}

	/** Pushes 1 when the group is not in the page; the distance from the page's start is left in a local. */
	#outside(group: Group, page: CachedPage, first: number): number {
		const offset = this.temp("i64");
		this.code
			.get(first)
			.get(page.base)
			.op("i64.sub")
			.tee(offset)
			.i64(BigInt(PAGE - (group.high - group.low)))
			.op("i64.gt_u");
		return offset;
	}

	#hostOf(page: CachedPage, offset: number): Code {
		return this.code.get(offset).op("i32.wrap_i64").get(page.frame).op("i32.add");
	}

	/** Leaves the place in the backing store of what is `start` bytes before the address, where the group begins. */
	#check(group: Group, page: CachedPage, address: number, start: number): void {
		const { code } = this;
		code.get(address);
		if (start !== 0) code.i64(BigInt(start)).op("i64.sub");
		const first = this.keep("i64");
		const offset = this.#outside(group, page, first);
		code.if();
		this.#find(page, first, group.high - group.low);
		code.get(first).get(page.base).op("i64.sub").set(offset);
		code.end();
		this.#hostOf(page, offset);
	}

	/**
	 * Looks up in the page table (SDM volume 3, 4.6) what has `span` bytes from `first` on in it. When these reach into the next
	 * page, and that lies behind this one in the backing store too, the last half of one and the first of the other are taken.
	 */
	#find(page: CachedPage, first: number, span: number): void {
		const { code } = this;
		const entry = this.temp("i32");
		const { need } = page;
		const mask = (need & WRITE) !== 0 ? need | PTE_CODE : need;
		const entryAt = (distance: number): void => {
			code.get(first);
			if (distance !== 0) code.i64(BigInt(distance)).op("i64.add");
			this.pageEntry();
		};
		code.get(first).i64(31n).op("i64.shr_s").i64(-1n).op("i64.ne");
		entryAt(0);
		code.tee(entry).i32(mask).op("i32.and").i32(need).op("i32.ne").op("i32.or");
		this.bailIf();
		code.get(first).i64(-4096n).op("i64.and").set(page.base);
		code.get(entry).i32(-4096).op("i32.and").set(page.frame);
		code.get(first).get(page.base).op("i64.sub");
		code.i64(BigInt(PAGE - span)).op("i64.gt_u");
		code.if();
		// The end of the window is no place to go on.
		entryAt(span - 1);
		code.i32(-4096 | mask).op("i32.and");
		code.get(page.frame).i32(PAGE).op("i32.add").i32(need).op("i32.or").op("i32.ne");
		code
			.get(first)
			.i64(BigInt(span - 1))
			.op("i64.add")
			.i64(0n)
			.op("i64.ge_s")
			.op("i32.or");
		this.bailIf();
		code.get(page.base).i64(2048n).op("i64.add").set(page.base);
		code.get(page.frame).i32(2048).op("i32.add").set(page.frame);
		code.end();
	}

	#checkAbsolute(group: Group, address: bigint): void {
		const { code } = this;
		const inWindow = address >= 0xffffffff80000000n;
		if (!inWindow || (address & 0xfffn) + BigInt(group.high - group.low) > BigInt(PAGE)) {
			// Unusual: always for the first tier. What follows is never reached.
			code.i32(1);
			this.bailIf();
			code.i32(0);
			return;
		}
		const entry = this.temp("i32");
		const { need } = group;
		const mask = (need & WRITE) !== 0 ? need | PTE_CODE : need;
		code.i32(BACKING.pageTable + 4 * Number((address >> 12n) & 0x7ffffn)).memory("i32.load");
		code.tee(entry).i32(mask).op("i32.and").i32(need).op("i32.ne");
		this.bailIf();
		code
			.get(entry)
			.i32(-4096)
			.op("i32.and")
			.i32(Number(address & 0xfffn))
			.op("i32.or");
	}

	// ---- entering and leaving ----

	/** Pages are valid from the start: all begin as the page that the stack pointer is in. Leaves 1 when it has none. */
	emitEnter(): void {
		const { code } = this;
		for (const reg of this.used) {
			code
				.i32(0)
				.memory("i64.load", AREA.words + 8 * reg)
				.set(this.registers[reg]!);
		}
		this.loadFlags();
		const entry = this.temp("i32");
		const rsp = this.temp("i64");
		code
			.i32(0)
			.memory("i64.load", AREA.words + 8 * RSP)
			.tee(rsp)
			.i64(31n)
			.op("i64.shr_s")
			.i64(-1n)
			.op("i64.ne");
		code.get(rsp);
		this.pageEntry();
		code.tee(entry);
		code
			.i32(READ | WRITE | PTE_CODE)
			.op("i32.and")
			.i32(READ | WRITE)
			.op("i32.ne")
			.op("i32.or");
		for (const { base, frame } of this.pages.values()) {
			code.get(rsp).i64(-4096n).op("i64.and").set(base);
			code.get(entry).i32(-4096).op("i32.and").set(frame);
		}
	}

	emitLeave(): void {
		for (const reg of this.dirty) {
			this.code
				.i32(0)
				.get(this.registers[reg]!)
				.memory("i64.store", AREA.words + 8 * reg);
		}
		this.storeFlags();
	}
}

/** What they load they store, whatever it is. */
const MOVES_VALUES = new Set<Semantic>(["mov", "push", "pop"]);
const MOVING = new Set<Semantic>(["add", "sub"]);
