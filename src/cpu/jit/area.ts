import { BACKING } from "../../memory/index.js";

/** The memory that generated code and the host share, in `BACKING.cpuArea`: byte offsets in the backing store. */
const BASE = BACKING.cpuArea;
export const AREA = {
	/** CpuState.words. */
	words: BASE,
	rip: BASE + 8 * 16,
	rflags: BASE + 8 * 17,
	gsBase: BASE + 8 * 18,
	/** A word that is always 0, for operands that have no such register. */
	zero: BASE + 8 * 19,
	/** Lazy status flags: see semantics/lazy-flags.ts. */
	flagKind: BASE + 160,
	flagA: BASE + 168,
	flagB: BASE + 176,
	flagR: BASE + 184,
	/** Why generated code returned: {@link REASON}. */
	reason: BASE + 192,
	gate: BASE + 196,
	/** Address of a memory access that the host makes (slow-access.ts). */
	slowAddress: BASE + 208,
	/** Changes each time that translated code may have become stale. */
	epoch: BASE + 220,
	/**
	 * Set if the second tier ends because fuel is low: the program is in the second tier, and nothing is left to make
	 * faster.
	 */
	stayed: BASE + 224,
	/** Low half of the root of the translation that left an instruction to the first tier (REASON.slow). */
	refused: BASE + 228,
	/** Number of exits from the second tier to the first since the host last read this. */
	exits: BASE + 244,
	/** Instructions executed since the start, plus the fuel that was handed in: rdtsc is this minus the fuel left. */
	clock: BASE + 232,
	/** The bytes of a memory access that the host makes. */
	bounce: BASE + 256,
	/**
	 * Pages that the second tier has found (tier2/pages.ts): {@link PAGE_SLOTS} slots of {@link PAGE_SLOT_BYTES} for pages that can be read,
	 * then as many for pages that can be read and written. A slot holds a page's address, and the negative of its place in the backing store.
	 */
	pages: BASE + 0x400,
	/** One i32 for each call site: {@link SITE} or the low half of the call's target. */
	sites: BASE + 0x1000,
	siteCount: 0x1f000 / 4,
	/**
	 * The table in which translated code looks up other translated code: {@link JUMP_SLOTS} slots of 16 bytes, by {@link
	 * jumpSlot}.
	 */
	jumps: BASE + 0x20000,
	/** {@link RECORDS} records of the interpreter (tier0/record.ts), of {@link RECORD_BYTES} each. */
	records: BASE + 0x40000,
} as const;

export const REASON = { go: 0, gate: 1, fault: 2, divide: 3, general: 4, site: 5, slow: 6, trapFlag: 7 } as const;

/** The permissions that an access needs, as the bits of a page table entry; `stack`: it is in the stack segment. */
export const NEED = { r: 1, w: 2, rw: 3, stack: 4 } as const;

/**
 * Bit of a page table entry that belongs to the Jit: the page holds translated code, so stores to it must go to the
 * host.
 */
export const PTE_CODE = 8;

/** The result of a gate's function that stops the Cpu. It is not a kernel address. */
export const STOP = 1;

/** Values of a call site cell that are not targets: kernel addresses are negative. */
export const SITE = { nop: 0, other: 1 } as const;

export const PAGE_SLOTS = 32;
export const PAGE_SLOT_BYTES = 16;
/** All slots of `AREA.pages`, in words of 4 bytes. */
export const PAGE_WORDS = (2 * PAGE_SLOTS * PAGE_SLOT_BYTES) / 4;

export const RECORDS = 8192;
export const RECORD_BYTES = 80;

/** A slot holds the low half of an address (0 or 1: free), the entry there, and the function's index in the table. */
export const JUMP_SLOTS = 1 << 13;
/** Slot number for an address in the window. */
export function jumpSlot(low: number): number {
	return (low ^ (low >>> 13)) & (JUMP_SLOTS - 1);
}
if (AREA.records + RECORDS * RECORD_BYTES > BASE + BACKING.cpuAreaSize) throw new Error("the jit area is too small");
