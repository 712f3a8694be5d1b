import { KlpemuError } from "../base/index.js";
import { hex, isKaddr, type Kaddr, type Memory, PERM, type Region, toKaddr } from "../memory/index.js";
import type { PlacedSection } from "./layout.js";
import type { ImageSymbol } from "./types.js";

const FENTRY_SIZE = 5;
const ENTRY_SIZE = 8;
const NOP = 0x90;
const NOP5 = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/** What is searched for call sites: an image whose relocations are applied. */
export interface CallSiteSearch {
	readonly memory: Memory;
	readonly placed: readonly PlacedSection[];
	/** The function or object at an address. */
	readonly symbolAt: (address: Kaddr) => ImageSymbol | undefined;
	readonly regionOf: (address: Kaddr) => Region | undefined;
}

/**
 * The fentry sites that the compiler recorded, ascending: in `__mcount_loc` (-mrecord-mcount, and objtool --mcount for kernel objects),
 * else in `__patchable_function_entries` (-fpatchable-function-entry).
 *
 * An object of the kernel can have both: it is compiled with -fpatchable-function-entry=16,16 then (CONFIG_CALL_PADDING), and the second
 * section lists the padding in front of each function. Throws `ELF_BAD_MCOUNT`.
 */
export function findCallSites(search: CallSiteSearch): Kaddr[] {
	const recorded = search.placed.filter(({ section }) => section.name === "__mcount_loc");
	const withRecord = new Set(recorded.map(({ object }) => object));
	const sites = new Set(recorded.flatMap((part) => addressesIn(search, part)));
	for (const part of search.placed) {
		if (part.section.name !== "__patchable_function_entries" || withRecord.has(part.object)) continue;
		for (const start of addressesIn(search, part)) if (takeNops(search, start)) sites.add(start);
	}
	return [...sites].sort((a, b) => a - b);
}

/** True if `start` is the first nop inside of a function. The nops are made one instruction. */
function takeNops({ memory, symbolAt }: CallSiteSearch, start: Kaddr): boolean {
	// Nops in front of the function are call padding, not a call site; the kernel on x86 leaves them alone too. objtool
	// gives the padding a function symbol of its own (__pfx_NAME).
	const found = symbolAt(start);
	if (found?.type !== "func" || found.name.startsWith("__pfx_")) return false;
	if (start - found.address >= found.size) return false;
	if (memory.read(start, FENTRY_SIZE).some((byte) => byte !== NOP)) return false;
	// A task could stop between five single nops. A call that is written over them would then be executed from its
	// middle.
	memory.write(start, Uint8Array.from(NOP5));
	return true;
}

/** The 64-bit text addresses that a section lists. */
function addressesIn({ memory, regionOf }: CallSiteSearch, { object, section, address }: PlacedSection): Kaddr[] {
	const out: Kaddr[] = [];
	for (let offset = 0; offset < section.size; offset += ENTRY_SIZE) {
		const entry = section.size - offset >= ENTRY_SIZE ? memory.u64((address + offset) | 0) : 0n;
		const site = toKaddr(entry);
		const last = (site + FENTRY_SIZE - 1) | 0;
		const region = isKaddr(entry) ? regionOf(site) : undefined;
		if (region === undefined || (region.perm & PERM.EXEC) === 0 || regionOf(last) !== region) {
			throw new KlpemuError(
				"ELF_BAD_MCOUNT",
				`section '${section.name}' offset 0x${offset.toString(16)}: ${hex(entry)} is no place for a call in the text`,
				{ where: object.fileName },
			);
		}
		out.push(site);
	}
	return out;
}
