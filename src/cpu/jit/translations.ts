import { type Kaddr, kaddrOf, type Memory, PERM, toU64 } from "../../memory/index.js";
import { type CpuState, RIP } from "../cpu.js";
import { AREA, JUMP_SLOTS, jumpSlot, PTE_CODE, RECORD_BYTES } from "./area.js";
import type { RegionInstruction } from "./tier1/index.js";
import type { Hot } from "./tier2/index.js";

export interface Translation {
	readonly instructions: readonly RegionInstruction[];
	/** Runs from an entry with fuel; returns the fuel that is left. */
	readonly run: (entry: number, fuel: number) => number;
	/** Index of `run` in the table. */
	readonly slot: number;
	/** Set if the instructions are not translated, but interpreted: the first one's record. */
	readonly record?: number;
	/** Set in the second tier. */
	readonly hot?: Hot;
}

export interface Entry {
	readonly run: Translation["run"];
	readonly entry: number;
	readonly translation: Translation;
}

/** The number of a page; of one outside of the window, a BigInt. */
type Page = number | bigint;

function pageOf(address: bigint): Page {
	const low = kaddrOf(address);
	return low === undefined ? BigInt.asUintN(64, address) >> 12n : low >>> 12;
}

function emptyTable(): WebAssembly.Table {
	return new WebAssembly.Table({ initial: 64, element: "anyfunc" });
}

/** The translations of a Cpu: by address of each instruction, and by page, to drop them if the text changes. */
export class Translations {
	readonly #memory: Memory;
	readonly #window = new Map<Kaddr, Entry>();
	readonly #outside = new Map<bigint, Entry>();
	readonly #hot = new Map<Kaddr, Translation>();
	readonly #pages = new Map<Page, Set<Translation>>();

	/** The functions that translated code can go to by itself. */
	table = emptyTable();
	#freeSlots: number[] = [];
	#nextSlot = 0;
	readonly #jumps: Int32Array;
	/** The slots of #jumps that are in use. */
	readonly #linked: number[] = [];

	constructor(memory: Memory) {
		this.#memory = memory;
		this.#jumps = new Int32Array(memory.buffer, AREA.jumps, 4 * JUMP_SLOTS);
		// An earlier Cpu of this memory may have left entries in the table.
		this.#jumps.fill(0);
		this.#markFree();
	}

	/** Puts a function into the table; returns its slot. */
	enroll(run: Translation["run"]): number {
		const slot = this.#freeSlots.pop() ?? this.#nextSlot++;
		if (slot >= this.table.length) this.table.grow(this.table.length);
		this.table.set(slot, run);
		return slot;
	}

	/** From now on translated code that goes to the address finds this entry without the host. */
	link(low: Kaddr, entry: Entry): void {
		const at = 4 * jumpSlot(low);
		this.#linked.push(at);
		this.#jumps[at] = low;
		this.#jumps[at + 1] = entry.entry;
		this.#jumps[at + 2] = entry.translation.slot;
	}

	unlinkAll(): void {
		for (const at of this.#linked) this.#jumps[at] = 0;
		this.#linked.length = 0;
		this.#markFree();
	}

	#markFree(): void {
		// A free slot must not match any address: address 0 belongs to slot 0 only, and 1 is not in the window.
		this.#jumps[0] = 1;
	}

	/** Translations of the first tier, and blocks of the interpreter. */
	find(state: CpuState): Entry | undefined {
		const low = state.halves[2 * RIP]!;
		if (low < 0 && state.halves[2 * RIP + 1] === -1) return this.#window.get(low);
		return this.#outside.get(state.rip);
	}

	has(address: bigint, low: Kaddr | undefined): boolean {
		return low === undefined ? this.#outside.has(address) : this.#window.has(low);
	}

	/** Whether a translation of the second tier begins at the address. */
	isHot(address: bigint): boolean {
		if (this.#hot.size === 0) return false;
		const low = kaddrOf(address);
		return low !== undefined && this.#hot.has(low);
	}

	/** Translations of the second tier. */
	hot(root: Kaddr): Translation | undefined {
		return this.#hot.get(root);
	}

	/** From now on the first tier goes to this translation at its root. */
	addHot(translation: Translation): void {
		const { root } = translation.hot!;
		const old = this.#hot.get(root);
		if (old !== undefined) this.#drop(old);
		// Translations with the root in their middle are made again, without it.
		const address = toU64(root);
		for (const other of [...(this.#pages.get(pageOf(address)) ?? [])]) {
			if (other.hot === undefined && other.instructions.some((entry) => entry.address === address)) this.#drop(other);
		}
		this.unlinkAll();
		this.#hot.set(root, translation);
		this.#remember(translation);
	}

	/** Drops a translation of the second tier: from now on the first tier executes the code. */
	dropHot(translation: Translation): void {
		this.unlinkAll();
		this.#drop(translation);
	}

	/** Adds a translation of the first tier, or a block of the interpreter's. */
	add(translation: Translation): void {
		const { run, record, instructions } = translation;
		const [first, step] = record === undefined ? [0, 1] : [record, RECORD_BYTES];
		for (let n = 0; n < instructions.length; n++) {
			const known = { run, entry: first + n * step, translation };
			const { address, low } = instructions[n]!;
			if (low === undefined) this.#outside.set(address, known);
			else this.#window.set(low, known);
		}
		this.#remember(translation);
	}

	/** Registers the translation for each page that it has code of. */
	#remember(translation: Translation): void {
		let known: Page = -1;
		for (const entry of translation.instructions) {
			const first = firstPage(entry);
			const last = lastPage(entry, first);
			// Most instructions are in the page of the one before.
			if (first !== known) this.#rememberIn(first, translation);
			if (last !== first) this.#rememberIn(last, translation);
			known = last;
		}
	}

	#rememberIn(page: Page, translation: Translation): void {
		const set = this.#pages.get(page);
		if (set === undefined) this.#pages.set(page, new Set([translation]));
		else set.add(translation);
		this.#mark(page);
	}

	/** Marks a writable page as one with code, so that stores to it go to the host. */
	#mark(page: Page): void {
		const entry = this.#memory.entry(typeof page === "number" ? (page << 12) | 0 : page << 12n);
		if ((entry & PERM.WRITE) === 0 || (entry & PTE_CODE) !== 0) return;
		// Translated code that waits for a gate to return may have checked that this page has no code.
		this.#memory.view.setUint32(AREA.epoch, this.#memory.view.getUint32(AREA.epoch, true) + 1, true);
		if (typeof page === "number") this.#memory.pageTable[page & 0x7ffff] = (entry | PTE_CODE) >>> 0;
		else this.#memory.outside.set(page, (entry | PTE_CODE) >>> 0);
	}

	/**
	 * Drops the translations that have an instruction in the range; true if there were any. `sitesApart`: instructions
	 * that are call sites do not count. `all`: drops all translations, whatever the range.
	 */
	dropRange(start: bigint, length: number, sitesApart = false, all = false): boolean {
		const end = start + BigInt(length);
		const doomed = new Set<Translation>();
		const consider = (set: ReadonlySet<Translation>): void => {
			for (const translation of set) {
				if (all || translation.instructions.some((i) => touches(i, start, end, sitesApart))) doomed.add(translation);
			}
		};
		if (all || length > 64 * 4096) for (const set of this.#pages.values()) consider(set);
		else
			for (let page = start >> 12n; page << 12n < end; page++) {
				const set = this.#pages.get(pageOf(page << 12n));
				if (set !== undefined) consider(set);
			}
		if (doomed.size > 0) this.unlinkAll();
		for (const translation of doomed) this.#drop(translation);
		return doomed.size > 0;
	}

	/** How many functions are in the table. */
	get count(): number {
		return this.#nextSlot - this.#freeSlots.length;
	}

	/** Drops what is interpreted; `all`: translations too, whose instances then have nothing that refers to them. */
	clear(all: boolean): void {
		this.unlinkAll();
		const sets = [...this.#pages.values()];
		for (const translation of new Set(sets.flatMap((set) => [...set]))) {
			if (all || translation.record !== undefined) this.#drop(translation);
		}
		if (!all) return;
		// V8 keeps each instance that has imported a table for as long as it keeps the table.
		this.table = emptyTable();
		this.#freeSlots = [];
		this.#nextSlot = 0;
	}

	#drop(translation: Translation): void {
		if (translation.record === undefined) {
			this.table.set(translation.slot, null);
			this.#freeSlots.push(translation.slot);
		}
		const root = translation.hot?.root;
		if (root !== undefined && this.#hot.get(root) === translation) this.#hot.delete(root);
		for (const entry of translation.instructions) {
			const { address, low } = entry;
			if (low !== undefined) {
				if (this.#window.get(low)?.translation === translation) this.#window.delete(low);
			} else if (this.#outside.get(address)?.translation === translation) this.#outside.delete(address);
			const first = firstPage(entry);
			this.#pages.get(first)?.delete(translation);
			this.#pages.get(lastPage(entry, first))?.delete(translation);
		}
	}
}

/** The page with the first byte of the instruction. */
function firstPage({ address, low }: RegionInstruction): Page {
	return low === undefined ? pageOf(address) : low >>> 12;
}

/** The page with the last byte, most often the first byte's. */
function lastPage({ address, low, length }: RegionInstruction, first: Page): Page {
	if ((low === undefined ? Number(address & 0xfffn) : low & 0xfff) + length <= 0x1000) return first;
	return pageOf(address + BigInt(length - 1));
}

function touches(entry: RegionInstruction, start: bigint, end: bigint, sitesApart: boolean): boolean {
	if (sitesApart && entry.kind === "site") return false;
	return entry.address < end && start < entry.address + BigInt(entry.length);
}
