import { BACKING } from "../../../memory/index.js";
import { RSP } from "../../cpu.js";
import type { MemoryOperand } from "../../x86/index.js";
import { AREA, PAGE_SLOT_BYTES, PAGE_SLOTS, PTE_CODE, REASON } from "../area.js";
import { pageEntry, type Translator } from "../semantics/index.js";
import type { Code, Label } from "../wasm/index.js";
import { type AccessPlan, type Group, READ, type Where, WRITE } from "./access-plan.js";

const PAGE = 4096;
const WINDOW = 0xffffffff80000000n;

/**
 * A slot of `AREA.pages`: a page that is valid for the access `need`. In locals it would need moves wherever ways meet; in memory it is an
 * operand.
 */
interface CachedPage {
	readonly slot: number;
	readonly need: number;
	/** No other one has the slot. */
	readonly alone: boolean;
}
/** Behind the address, the negative of the page's place: V8 subtracts a word of memory in one instruction, and adds it in two. */
const MINUS_PLACE = 8;

/** A check that can be made where a stretch begins. */
interface EarlyCheck {
	readonly group: Group;
	readonly page: CachedPage;
	readonly operand: MemoryOperand;
}

/**
 * Checked pages of a function, by the registers that addresses are made of. A page that has been checked
 * stays valid until the function is left; if an access finds another page there, the page table is looked up.
 */
export class Pages {
	readonly #pages = new Map<string, CachedPage>();
	/** How many have got a slot, of each kind. */
	readonly #slots = { r: 0, w: 0 };

	#page(where: Where, need: number): CachedPage {
		const writes = where.registers.startsWith(`${RSP} -1`) || (need & WRITE) !== 0;
		const key = `${where.registers} ${writes ? "w" : "r"}`;
		const known = this.#pages.get(key);
		if (known !== undefined) return known;
		const number = this.#slots[writes ? "w" : "r"]++;
		const slot = AREA.pages + PAGE_SLOT_BYTES * ((writes ? PAGE_SLOTS : 0) + (number % PAGE_SLOTS));
		const page = { slot, need: writes ? READ | WRITE : READ, alone: number < PAGE_SLOTS };
		this.#pages.set(key, page);
		return page;
	}

	/**
	 * In the prologue: all pages begin as the one that the stack pointer is in, so that all are valid. Pushes 1 if the
	 * stack pointer is in no page.
	 */
	enter(code: Code): void {
		const entry = code.temp("i32");
		const rsp = code.temp("i64");
		code
			.i32(0)
			.memory("i64.load", AREA.words + 8 * RSP)
			.tee(rsp)
			.i64(31n)
			.op("i64.shr_s")
			.i64(-1n)
			.op("i64.ne");
		code.get(rsp);
		pageEntry(code);
		code.tee(entry);
		code
			.i32(READ | WRITE | PTE_CODE)
			.op("i32.and")
			.i32(READ | WRITE)
			.op("i32.ne")
			.op("i32.or");
		for (const slot of new Set([...this.#pages.values()].map((page) => page.slot))) {
			fillSlot(code, slot, rsp, entry);
		}
	}

	// ---- where a stretch begins ----

	/** The checks that can be made where the stretch of the plan begins: one for each page. */
	earlyChecks(plan: AccessPlan): EarlyCheck[] {
		const found = new Map<CachedPage, EarlyCheck>();
		for (const group of plan.groups()) {
			if (group.early?.early === undefined) continue;
			const page = this.#page(group.early, group.need);
			// Two that share a slot would displace each other for ever.
			if (page.alone && !found.has(page)) found.set(page, { group, page, operand: group.early.early });
		}
		return [...found.values()];
	}

	/** Goes to `miss` if an access of the checks is in another page than the one in its locals. */
	check(t: Translator, checks: readonly EarlyCheck[], miss: Label): void {
		for (const { group, page, operand } of checks) {
			const offset = outside(t, group, page, firstOf(t, group, operand));
			t.code.hint(false).brIf(miss);
			group.host = t.code.local("i32");
			hostOf(t.code, page, offset).set(group.host);
		}
		t.code.releaseTemps();
	}

	/** Behind a miss: finds the pages, or refuses. */
	find(t: Translator, checks: readonly EarlyCheck[]): void {
		for (const { group, page, operand } of checks) {
			const first = firstOf(t, group, operand);
			outside(t, group, page, first);
			t.code.if();
			findPage(t, page, first, group.high - group.low);
			t.code.end();
		}
		t.code.releaseTemps();
	}

	// ---- where an access is ----

	/** Checks the group of an access to the address in the local; returns the local with the place of its first byte. */
	access(t: Translator, group: Group, where: Where, address: number): number {
		const host = t.code.local("i32");
		group.host = host;
		const start = where.offset - group.low;
		if (where.absolute !== undefined) checkConstant(t, group, where.absolute - BigInt(start));
		else this.#checkAt(t, group, this.#page(where, group.need), address, start);
		t.code.set(host);
		return host;
	}

	/** Pushes the place in the backing store of the group's first byte, which is `start` bytes before the address. */
	#checkAt(t: Translator, group: Group, page: CachedPage, address: number, start: number): void {
		const { code } = t;
		code.get(address);
		if (start !== 0) code.i64(BigInt(start)).op("i64.sub");
		const first = t.keep("i64");
		const offset = outside(t, group, page, first);
		code.hint(false).if();
		findPage(t, page, offset, group.high - group.low);
		code.end();
		hostOf(code, page, offset);
	}
}

/** The address of a group's first byte, where the registers are as they were at the start. */
function firstOf(t: Translator, group: Group, { base, index, scale }: MemoryOperand): number {
	return t.address({ ...t.near(base, 0), index, scale, disp: BigInt(group.low) });
}

/** Pushes 1 if the group is not in the page; its distance from the page's start is left in the local. */
function outside(t: Translator, group: Group, page: CachedPage, first: number): number {
	const offset = t.temp("i64");
	pushBase(t.code.get(first), page)
		.op("i64.sub")
		.tee(offset)
		.i64(BigInt(PAGE - (group.high - group.low)))
		.op("i64.gt_u");
	return offset;
}

function hostOf(code: Code, page: CachedPage, offset: number): Code {
	return code
		.get(offset)
		.op("i32.wrap_i64")
		.i32(0)
		.memory("i32.load", page.slot + MINUS_PLACE)
		.op("i32.sub");
}

function pushBase(code: Code, page: CachedPage): Code {
	return code.i32(0).memory("i64.load", page.slot);
}

/** Puts the page of an address, from so many bytes behind its beginning on, into a slot. Locals: the address, its page table entry. */
function fillSlot(code: Code, slot: number, address: number, entry: number, from = 0): void {
	code.i32(0).get(address).i64(-4096n).op("i64.and");
	if (from !== 0) code.i64(BigInt(from)).op("i64.add");
	code.memory("i64.store", slot);
	code.i32(0).i32(-from).get(entry).i32(-4096).op("i32.and").op("i32.sub");
	code.memory("i32.store", slot + MINUS_PLACE);
}

/** The bits of a page table entry that an access looks at. */
function maskOf(need: number): number {
	return (need & WRITE) !== 0 ? need | PTE_CODE : need;
}

/**
 * Looks up in the page table (SDM volume 3, 4.6) the page that has `span` bytes from an address on in it, and puts it into the slot. The local has the
 * address's distance from the page in the slot, before and afterwards. If these reach
 * into the next page, and that page follows in the backing store too, the last half of one and the first half of the
 * other are taken.
 */
function findPage(t: Translator, page: CachedPage, offset: number, span: number): void {
	const { code } = t;
	// The address is made again, so that only this rare way needs it.
	pushBase(code.get(offset), page).op("i64.add");
	const first = t.keep("i64");
	const entry = t.temp("i32");
	const { need } = page;
	const mask = maskOf(need);
	/** With the bit of the shadow, if everything is watched: only the first tier asks it. */
	const pushMask = (more: number): Code =>
		code
			.i32(mask | more)
			.i32(0)
			.memory("i32.load", BACKING.watch)
			.op("i32.or");
	const entryAt = (distance: number): void => {
		code.get(first);
		if (distance !== 0) code.i64(BigInt(distance)).op("i64.add");
		pageEntry(code);
	};
	code.get(first).i64(31n).op("i64.shr_s").i64(-1n).op("i64.ne");
	entryAt(0);
	code.tee(entry);
	pushMask(0).op("i32.and").i32(need).op("i32.ne").op("i32.or");
	t.bailIf(REASON.slow);
	fillSlot(code, page.slot, first, entry);
	code
		.get(first)
		.i64(4095n)
		.op("i64.and")
		.i64(BigInt(PAGE - span))
		.op("i64.gt_u");
	code.if();
	// No page follows the last one of the window.
	entryAt(span - 1);
	pushMask(-4096).op("i32.and");
	code.get(entry).i32(-4096).op("i32.and").i32(PAGE).op("i32.add").i32(need).op("i32.or").op("i32.ne");
	code
		.get(first)
		.i64(BigInt(span - 1))
		.op("i64.add")
		.i64(0n)
		.op("i64.ge_s")
		.op("i32.or");
	t.bailIf(REASON.slow);
	fillSlot(code, page.slot, first, entry, PAGE / 2);
	code.end();
	pushBase(code.get(first), page).op("i64.sub").set(offset);
}

/** Pushes the place in the backing store of a group that begins at an address which is known now. */
function checkConstant(t: Translator, group: Group, address: bigint): void {
	const { code } = t;
	if (address < WINDOW || (address & 0xfffn) + BigInt(group.high - group.low) > BigInt(PAGE)) {
		// A rare case: the first tier always executes it. The code behind it is never reached.
		code.i32(1);
		t.bailIf(REASON.slow);
		code.i32(0);
		return;
	}
	const entry = t.temp("i32");
	const mask = maskOf(group.need);
	code.i32(BACKING.pageTable + 4 * Number((address >> 12n) & 0x7ffffn)).memory("i32.load");
	code.tee(entry).i32(mask).op("i32.and").i32(group.need).op("i32.ne");
	t.bailIf(REASON.slow);
	code
		.get(entry)
		.i32(-4096)
		.op("i32.and")
		.i32(Number(address & 0xfffn))
		.op("i32.or");
}
