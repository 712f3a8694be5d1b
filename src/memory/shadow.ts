import type { Kaddr } from "./kaddr.js";

/** Of the pages of a {@link Shadow}, in the page table. */
export const PTE_SHADOWED = 0x800;

/**
 * Whose accesses the shadow is asked about: bits that translated code adds to those that it wants of a page table entry, so that code which
 * does not ask finds no page with a shadow. `cold`: all code but what runs so often that a Cpu makes other code of it (the second tier of the
 * jit), which goes on with such pages: they can be read.
 */
export const WATCH = { none: 0, cold: 1, all: PTE_SHADOWED } as const;

/**
 * One bit for each byte of a range of addresses: guest code may access the byte. As KASAN's shadow memory, which translated code reads
 * by itself. At first it may access none.
 */
export class Shadow {
	readonly base: Kaddr;
	readonly end: Kaddr;
	/** For the native code of a Cpu: the bits of the byte at `base` and those behind it, and some bytes behind the end. */
	readonly bits: Uint8Array;

	constructor(range: { readonly base: Kaddr; readonly end: Kaddr }, bits: Uint8Array) {
		this.base = range.base;
		this.end = range.end;
		this.bits = bits;
	}

	/** Bytes of {@link bits} for a range. */
	static size({ base, end }: { readonly base: Kaddr; readonly end: Kaddr }): number {
		return ((end - base) >> 3) + 8;
	}

	contains(address: Kaddr): boolean {
		return address >= this.base && address < this.end;
	}

	/** From now on guest code may access the bytes. The address is a multiple of 8. */
	allow(address: Kaddr, length: number): void {
		const at = (address - this.base) >> 3;
		const whole = length >> 3;
		this.bits.fill(0xff, at, at + whole);
		if ((length & 7) !== 0) this.bits[at + whole] = (1 << (length & 7)) - 1;
	}

	/** From now on it may not. Address and length are multiples of 8. */
	forbid(address: Kaddr, length: number): void {
		const at = (address - this.base) >> 3;
		this.bits.fill(0, at, at + (length >> 3));
	}

	/** Bytes outside of the range are allowed. */
	allows(address: Kaddr, length: number): boolean {
		if (!this.contains(address)) return true;
		const first = address - this.base;
		for (let i = first; i < first + length; i++) if ((this.bits[i >> 3]! & (1 << (i & 7))) === 0) return false;
		return true;
	}
}
