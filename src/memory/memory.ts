import { declareState, KlpemuError } from "../base/index.js";
import { BackingStores } from "./backing-stores.js";
import { hex, isKaddr, type Kaddr, toKaddr, toU64 } from "./kaddr.js";
import { PTE_SHADOWED, Shadow, WATCH } from "./shadow.js";

/** Page permissions, a bit set. Also the low bits of a page table entry. */
export const PERM = { READ: 1, WRITE: 2, EXEC: 4 } as const;
/** Bits 3 to 11 of a page table entry belong to the Cpu (for example "has translated code"); memory keeps them clear. */
export const PTE_PERM_MASK = 7;
export const PAGE_SIZE = 4096;
export const PAGE_SHIFT = 12;

const WASM_PAGE = 65536;
const WINDOW_PAGES = 1 << (31 - PAGE_SHIFT);

/**
 * Where things lie in the backing store (`memory.buffer`), in bytes. The page table comes first: entry `(kaddr >>> 12) &
 * 0x7ffff`, four bytes each, holds `frame offset | permissions`, or 0 where nothing is mapped.
 */
export const BACKING = {
	pageTable: 0,
	/** Scratch for a Cpu: its register file, and the data that its generated code shares with the host. */
	cpuArea: WINDOW_PAGES * 4,
	cpuAreaSize: 0xe0000,
	/** A word: WATCH. */
	watch: WINDOW_PAGES * 4 + 0xe0000,
	/** A word: the place of the shadow of address 0, if a shadow of all memory were there (class Shadow). */
	shadow: WINDOW_PAGES * 4 + 0xe0004,
	frames: WINDOW_PAGES * 4 + 0xe1000,
} as const;

/** A mapped range. */
export class Region {
	// Nothing in the guest depends on the place in the backing store: that was free when the region was mapped.
	static readonly state = declareState("Region", {
		fields: ["name", "address", "length", "perm"],
		unkeyed: ["offset"],
	});

	readonly name: string;
	readonly address: bigint;
	readonly length: number;
	/** Place in the backing store: a region is contiguous there. */
	readonly offset: number;
	perm: number;

	constructor(name: string, address: bigint, length: number, offset: number, perm: number) {
		this.name = name;
		this.address = address;
		this.length = length;
		this.offset = offset;
		this.perm = perm;
	}
}

/** Changed words that are no farther apart are restored as one range. Call sites are farther apart. */
const FAR_WORDS = 4;

/** Result of {@link Memory.save}. */
export interface SavedMemory {
	readonly regions: readonly {
		readonly region: Region;
		readonly perm: number;
		/** The caller saves the rest of the content, if it needs it. */
		readonly bytes: Uint8Array;
	}[];
	readonly free: readonly { readonly offset: number; readonly length: number }[];
	readonly nextFrame: number;
}

/** Calls by which a Cpu learns that the mapping has changed. */
export interface MemoryListener {
	mapped(region: Region): void;
	unmapped(region: Region): void;
	protectionChanged(region: Region): void;
}

export interface MemoryOptions {
	/** Bytes of backing store. Pages that were never touched cost nothing. Default 64 MiB. */
	readonly bytes?: number;
	/** Addresses whose pages have a shadow. */
	readonly shadow?: { readonly base: Kaddr; readonly end: Kaddr };
}

/** Throws `MEMORY_TOO_LARGE`. */
function wasmMemory(pages: number): WebAssembly.Memory {
	const store = BackingStores.ofProcess.take(pages * WASM_PAGE);
	if (store !== undefined) return store;
	try {
		return new WebAssembly.Memory({ initial: pages, maximum: pages });
	} catch (cause) {
		if (!(cause instanceof RangeError)) throw cause;
		throw new KlpemuError("MEMORY_TOO_LARGE", `the host gives no ${Math.ceil(pages / 16)} MiB of memory`, {
			hint: "choose less guest memory",
			cause,
		});
	}
}

/**
 * Guest memory: regions of pages with permissions, over one WebAssembly.Memory, which every Cpu shares (translated code
 * addresses it directly, libunicorn maps pointers into it). It never grows, so the views below stay valid for its life.
 *
 * Host accessors (`u8`, `write`, ...) ignore permissions, as text_poke's own writable alias does; guest accesses are
 * checked by the Cpu. Host access to an unmapped address throws `MEMORY_UNMAPPED`.
 */
export class Memory {
	readonly wasm: WebAssembly.Memory;
	readonly buffer: ArrayBuffer;
	readonly bytes: Uint8Array;
	readonly view: DataView;
	/** The whole backing store. */
	readonly words: Int32Array;
	/** The page table of the kernel window, see {@link BACKING}. */
	readonly pageTable: Uint32Array;
	/** Page table entries of pages outside the kernel window (only `exec` maps any), by virtual page number. */
	readonly outside = new Map<bigint, number>();
	/** By address. */
	readonly regions: Region[] = [];
	readonly #listeners: MemoryListener[] = [];
	/** Freed ranges below #nextFrame, by offset; adjacent ranges are merged. */
	readonly #free: { offset: number; length: number }[] = [];
	/** The content of each region when it was last saved. */
	readonly #saved = new WeakMap<Region, Uint8Array>();
	/** Counts the changes of the page table. */
	mappings = 0;
	#nextFrame: number;
	/** The largest value that #nextFrame has had. */
	#usedEnd = BACKING.frames;
	readonly #framesEnd: number;
	#closed = false;
	readonly shadow: Shadow | undefined;
	/** Guest code is about to access bytes that the shadow forbids; the Cpu's state is that before the instruction. It goes on then. */
	onForbidden: () => void = () => {};

	constructor(options: MemoryOptions = {}) {
		const { shadow } = options;
		this.#framesEnd = Math.ceil(((options.bytes ?? 64 << 20) + BACKING.frames) / WASM_PAGE) * WASM_PAGE;
		const pages = Math.ceil((this.#framesEnd + (shadow === undefined ? 0 : Shadow.size(shadow))) / WASM_PAGE);
		this.wasm = wasmMemory(pages);
		this.buffer = this.wasm.buffer as ArrayBuffer;
		this.bytes = new Uint8Array(this.buffer);
		this.view = new DataView(this.buffer);
		this.words = new Int32Array(this.buffer);
		this.pageTable = new Uint32Array(this.buffer, BACKING.pageTable, WINDOW_PAGES);
		this.#nextFrame = BACKING.frames;
		if (shadow === undefined) return;
		this.shadow = new Shadow(shadow, this.bytes.subarray(this.#framesEnd, this.#framesEnd + Shadow.size(shadow)));
		this.words[BACKING.shadow >> 2] = this.#framesEnd - (shadow.base >>> 3);
	}

	/** Whose accesses the shadow is asked about, one of WATCH. */
	get watch(): number {
		return this.words[BACKING.watch >> 2]!;
	}

	set watch(watch: number) {
		this.words[BACKING.watch >> 2] = watch;
	}

	/** Guest code may not access the bytes, and that is watched. */
	isForbidden(address: bigint, length: number): boolean {
		if (this.watch === WATCH.none || this.shadow === undefined || !isKaddr(address)) return false;
		return !this.shadow.allows(toKaddr(address), length);
	}

	/**
	 * Gives the backing store up: another memory may get it. The Cpu must have been closed. Whoever uses this memory later gets
	 * `MEMORY_CLOSED`.
	 */
	close(): void {
		if (this.#closed) return;
		this.#closed = true;
		const { wasm } = this;
		const used = [[0, this.#usedEnd] as const, [this.#framesEnd, this.buffer.byteLength] as const];
		const closed = (): never => {
			throw new KlpemuError("MEMORY_CLOSED", "the machine of this memory is closed");
		};
		for (const name of ["wasm", "buffer", "bytes", "view", "words", "pageTable"] as const) {
			Object.defineProperty(this, name, { get: closed });
		}
		BackingStores.ofProcess.give({ wasm, used });
	}

	listen(listener: MemoryListener): void {
		this.#listeners.push(listener);
		for (const region of this.regions) listener.mapped(region);
	}

	unlisten(listener: MemoryListener): void {
		const index = this.#listeners.indexOf(listener);
		if (index >= 0) this.#listeners.splice(index, 1);
	}

	/** Maps zeroed pages. Address and length are whole pages; throws `MEMORY_OVERLAP`, `MEMORY_UNALIGNED`, `MEMORY_EXHAUSTED`. */
	map(name: string, address: Kaddr | bigint, length: number, perm: number): Region {
		const start = typeof address === "bigint" ? BigInt.asUintN(64, address) : toU64(address);
		if (start % BigInt(PAGE_SIZE) !== 0n || length % PAGE_SIZE !== 0 || length <= 0) {
			throw new KlpemuError(
				"MEMORY_UNALIGNED",
				`cannot map '${name}' at ${hex(start)}, ${length} bytes: not whole pages`,
			);
		}
		const end = start + BigInt(length);
		if (end > 1n << 64n)
			throw new KlpemuError("MEMORY_OVERLAP", `'${name}' at ${hex(start)} runs past the end of memory`);
		const index = this.#firstBehind(start);
		const other = this.regions[index];
		if (other !== undefined && other.address < end) {
			throw new KlpemuError(
				"MEMORY_OVERLAP",
				`'${name}' at ${hex(start)} overlaps '${other.name}' at ${hex(other.address)}`,
			);
		}
		const region = new Region(name, start, length, this.#allocate(name, length), perm);
		this.regions.splice(index, 0, region);
		this.#setEntries(region, perm);
		for (const listener of this.#listeners) listener.mapped(region);
		return region;
	}

	unmap(region: Region): void {
		this.regions.splice(this.#indexOf(region), 1);
		this.#setEntries(region, 0);
		this.bytes.fill(0, region.offset, region.offset + region.length);
		this.#giveBack(region.offset, region.length);
		for (const listener of this.#listeners) listener.unmapped(region);
	}

	/** Throws `MEMORY_UNMAPPED` for a region that is gone. */
	protect(region: Region, perm: number): void {
		this.#indexOf(region);
		region.perm = perm;
		this.#setEntries(region, perm);
		for (const listener of this.#listeners) listener.protectionChanged(region);
	}

	/** Index of the first region that ends behind `address`. A machine may have a stack for each of many thousand tasks. */
	#firstBehind(address: bigint): number {
		let low = 0;
		let high = this.regions.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			const region = this.regions[middle]!;
			if (region.address + BigInt(region.length) > address) high = middle;
			else low = middle + 1;
		}
		return low;
	}

	#indexOf(region: Region): number {
		const index = this.#firstBehind(region.address);
		if (this.regions[index] === region) return index;
		throw new KlpemuError("MEMORY_UNMAPPED", `'${region.name}' is not mapped`);
	}

	/** Permissions of the page that holds `address`; 0 where nothing is mapped. */
	permissions(address: Kaddr | bigint): number {
		return this.entry(address) & PTE_PERM_MASK;
	}

	/** The page table entry for an address, 0 where nothing is mapped. */
	entry(address: Kaddr | bigint): number {
		if (typeof address === "bigint") {
			if (!isKaddr(address)) return this.outside.get(BigInt.asUintN(64, address) >> BigInt(PAGE_SHIFT)) ?? 0;
			return this.pageTable[Number((address >> BigInt(PAGE_SHIFT)) & BigInt(WINDOW_PAGES - 1))]!;
		}
		return this.pageTable[(address >>> PAGE_SHIFT) & (WINDOW_PAGES - 1)]!;
	}

	/** Place in the backing store of the byte at `address`; throws `MEMORY_UNMAPPED`. */
	offset(address: Kaddr | bigint): number {
		const entry = this.entry(address);
		if (entry === 0) throw new KlpemuError("MEMORY_UNMAPPED", `nothing is mapped at ${hex(address)}`);
		const low = typeof address === "bigint" ? Number(address & 0xfffn) : address & 0xfff;
		return ((entry & ~0xfff) >>> 0) + low;
	}

	u8(address: Kaddr): number {
		return this.bytes[this.offset(address)]!;
	}
	u32(address: Kaddr): number {
		return this.i32(address) >>> 0;
	}
	i32(address: Kaddr): number {
		// For gates. The page table is the beginning of the backing store, so one array serves for both.
		const words = this.words;
		const entry = words[(address >>> 12) & 0x7ffff]!;
		if ((address & 3) === 0 && entry !== 0) return words[((entry & ~0xfff) | (address & 0xfff)) >>> 2]!;
		if (this.#within(address, 4)) return this.view.getInt32(this.offset(address), true);
		return Number(BigInt.asIntN(32, this.#gather(address, 4)));
	}
	u64(address: Kaddr): bigint {
		return this.#within(address, 8) ? this.view.getBigUint64(this.offset(address), true) : this.#gather(address, 8);
	}
	setU8(address: Kaddr, value: number): void {
		this.bytes[this.offset(address)] = value;
	}
	/** The low 32 bits of the value. */
	setU32(address: Kaddr, value: number): void {
		const words = this.words;
		const entry = words[(address >>> 12) & 0x7ffff]!;
		if ((address & 3) === 0 && entry !== 0) words[((entry & ~0xfff) | (address & 0xfff)) >>> 2] = value;
		else if (this.#within(address, 4)) this.view.setUint32(this.offset(address), value >>> 0, true);
		else this.#scatter(address, 4, BigInt(value >>> 0));
	}
	setU64(address: Kaddr, value: bigint): void {
		if (this.#within(address, 8)) this.view.setBigUint64(this.offset(address), value, true);
		else this.#scatter(address, 8, value);
	}
	/** Reads the low half of a 64-bit pointer that is known to be in the window. */
	kaddr(address: Kaddr): Kaddr {
		return this.i32(address);
	}
	/** Stores a kernel address as a 64-bit pointer. */
	setKaddr(address: Kaddr, value: Kaddr): void {
		this.setU32(address, value);
		this.setU32((address + 4) | 0, value >> 31);
	}

	/** Told of each read that a host function makes for guest code (linux/guest/guest-memory.ts), while the explorer watches. */
	onGuestRead: ((address: Kaddr, length: number) => void) | undefined = undefined;

	/** Told of each argument that a host function reads of its call, by its index. */
	onArgument: ((index: number) => void) | undefined = undefined;
	/** The kernel function in TypeScript that runs for guest code now, as far as it does not sleep. */
	hostFunction: string | undefined = undefined;
	/** Told of each text and buffer in shadowed memory that it reads or writes. */
	onGuestBuffer: (name: string, address: Kaddr, length: number, writes: boolean) => void = () => {};

	/** From now on `written` is told of each write by the host: for the explorer, in whose memory writes are slower then. */
	watchWrites(written: (address: Kaddr, length: number) => void): void {
		const { setU8, setU32, setU64, write } = Memory.prototype;
		this.setU8 = (address, value) => {
			written(address, 1);
			setU8.call(this, address, value);
		};
		this.setU32 = (address, value) => {
			written(address, 4);
			setU32.call(this, address, value);
		};
		this.setU64 = (address, value) => {
			written(address, 8);
			setU64.call(this, address, value);
		};
		this.write = (address, data) => {
			if (data.length > 0) written(Number(BigInt.asIntN(32, BigInt(address))), data.length);
			write.call(this, address, data);
		};
		this.wordAt = () => -1;
	}

	/**
	 * The place in {@link words} of the eight bytes at an address, if that is a multiple of 8 and its page has the permissions; else -1:
	 * one look at the page table for a check, a read and a write. Always -1 while writes are watched, because what is stored there is
	 * told to nobody.
	 */
	wordAt(address: Kaddr, perm: number): number {
		const entry = this.words[(address >>> 12) & 0x7ffff]!;
		if ((address & 7) !== 0 || (entry & perm) !== perm) return -1;
		return ((entry & ~0xfff) | (address & 0xfff)) >>> 2;
	}

	read(address: Kaddr | bigint, length: number): Uint8Array {
		const out = new Uint8Array(length);
		this.#pieces(address, length, (offset, done, size) => {
			out.set(this.bytes.subarray(offset, offset + size), done);
		});
		return out;
	}

	write(address: Kaddr | bigint, data: Uint8Array): void {
		this.#pieces(address, data.length, (offset, done, size) => {
			this.bytes.set(data.subarray(done, done + size), offset);
		});
	}

	#pieces(address: Kaddr | bigint, length: number, visit: (offset: number, done: number, size: number) => void): void {
		let at = typeof address === "bigint" ? BigInt.asUintN(64, address) : toU64(address);
		for (let done = 0; done < length; ) {
			const size = Math.min(length - done, PAGE_SIZE - Number(at & 0xfffn));
			visit(this.offset(at), done, size);
			done += size;
			at = BigInt.asUintN(64, at + BigInt(size));
		}
	}

	#within(address: Kaddr, size: number): boolean {
		return (address & 0xfff) <= PAGE_SIZE - size;
	}
	#gather(address: Kaddr, size: number): bigint {
		let value = 0n;
		for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.u8((address + i) | 0));
		return value;
	}
	#scatter(address: Kaddr, size: number, value: bigint): void {
		for (let i = 0; i < size; i++) this.setU8((address + i) | 0, Number((value >> BigInt(8 * i)) & 0xffn));
	}

	/** All mappings, and of each region so many bytes of content as `content` says: whole pages. */
	save(content: (region: Region) => number): SavedMemory {
		const regions = this.regions.map((region) => ({
			region,
			perm: region.perm,
			bytes: this.#contentOf(region, content(region)),
		}));
		return { regions, free: this.#free.map((hole) => ({ ...hole })), nextFrame: this.#nextFrame };
	}

	/** A copy, the one of the last save if nothing has changed since: most regions are text. */
	#contentOf(region: Region, length: number): Uint8Array {
		const last = this.#saved.get(region);
		const now = new Int32Array(this.buffer, region.offset, length / 4);
		if (last?.length === length) {
			const then = new Int32Array(last.buffer, last.byteOffset, length / 4);
			let same = 0;
			while (same < now.length && now[same] === then[same]) same++;
			if (same === now.length) return last;
		}
		const bytes = this.bytes.slice(region.offset, region.offset + length);
		this.#saved.set(region, bytes);
		return bytes;
	}

	/**
	 * Restores a state of {@link save}, with the same region objects. Calls `changed` for each range whose content
	 * differs.
	 */
	restore(saved: SavedMemory, changed: (address: Kaddr, length: number) => void): void {
		const wanted = new Set(saved.regions.map(({ region }) => region));
		for (const region of [...this.regions]) {
			if (wanted.has(region)) continue;
			this.#setEntries(region, 0);
			this.bytes.fill(0, region.offset, region.offset + region.length);
			for (const listener of this.#listeners) listener.unmapped(region);
		}
		const there = new Set(this.regions);
		this.regions.splice(0, this.regions.length, ...saved.regions.map(({ region }) => region));
		for (const { region, perm, bytes } of saved.regions) {
			region.perm = perm;
			if (!there.has(region)) {
				this.#setEntries(region, perm);
				for (const listener of this.#listeners) listener.mapped(region);
			} else if (this.permissions(region.address) !== perm) {
				this.#setEntries(region, perm);
				for (const listener of this.#listeners) listener.protectionChanged(region);
			}
			this.#restoreContent(region, bytes, changed);
		}
		this.#free.splice(0, this.#free.length, ...saved.free.map((hole) => ({ ...hole })));
		this.#nextFrame = saved.nextFrame;
	}

	#restoreContent(region: Region, bytes: Uint8Array, changed: (address: Kaddr, length: number) => void): void {
		const words = bytes.length / 4;
		const now = new Int32Array(this.buffer, region.offset, words);
		const saved = new Int32Array(bytes.buffer, bytes.byteOffset, words);
		for (let word = 0; word < words; word++) {
			if (now[word] === saved[word]) continue;
			const first = word;
			for (let near = word + 1; near < words && near - word < FAR_WORDS; near++) {
				if (now[near] !== saved[near]) word = near;
			}
			// To the byte: most changes of code are within one call site, which the Cpu treats in a special way.
			let [start, end] = [4 * first, 4 * word + 4];
			while (this.bytes[region.offset + start] === bytes[start]) start++;
			while (this.bytes[region.offset + end - 1] === bytes[end - 1]) end--;
			this.bytes.set(bytes.subarray(start, end), region.offset + start);
			changed(Number(BigInt.asIntN(32, region.address + BigInt(start))), end - start);
		}
	}

	#allocate(name: string, length: number): number {
		const reuse = this.#free.findIndex((hole) => hole.length >= length);
		if (reuse >= 0) {
			const hole = this.#free[reuse]!;
			if (hole.length === length) this.#free.splice(reuse, 1);
			else this.#free[reuse] = { offset: hole.offset + length, length: hole.length - length };
			return hole.offset;
		}
		const offset = this.#nextFrame;
		if (offset + length > this.#framesEnd) {
			throw new KlpemuError(
				"MEMORY_EXHAUSTED",
				`no guest memory left for '${name}' (${length} bytes of ${this.#framesEnd})`,
				{ hint: "create the machine with more memory (option memoryBytes)" },
			);
		}
		this.#nextFrame += length;
		this.#usedEnd = Math.max(this.#usedEnd, this.#nextFrame);
		return offset;
	}

	#giveBack(offset: number, length: number): void {
		const after = this.#free.findIndex((hole) => hole.offset > offset);
		const at = after < 0 ? this.#free.length : after;
		const [before, next] = [this.#free[at - 1], this.#free[at]];
		const start = before !== undefined && before.offset + before.length === offset ? before.offset : offset;
		const end = next !== undefined && next.offset === offset + length ? next.offset + next.length : offset + length;
		const first = start === offset ? at : at - 1;
		this.#free.splice(first, (start < offset ? 1 : 0) + (end > offset + length ? 1 : 0));
		if (end === this.#nextFrame) this.#nextFrame = start;
		else this.#free.splice(first, 0, { offset: start, length: end - start });
	}

	#shadowed(address: bigint): number {
		const { shadow } = this;
		return shadow !== undefined && isKaddr(address) && shadow.contains(toKaddr(address)) ? PTE_SHADOWED : 0;
	}

	#setEntries(region: Region, perm: number): void {
		this.mappings++;
		for (let done = 0; done < region.length; done += PAGE_SIZE) {
			const address = region.address + BigInt(done);
			const entry = perm === 0 ? 0 : ((region.offset + done) | perm | this.#shadowed(address)) >>> 0;
			if (isKaddr(address)) this.pageTable[Number((address >> BigInt(PAGE_SHIFT)) & BigInt(WINDOW_PAGES - 1))] = entry;
			else if (entry === 0) this.outside.delete(address >> BigInt(PAGE_SHIFT));
			else this.outside.set(address >> BigInt(PAGE_SHIFT), entry);
		}
	}
}
