import { KlpemuError } from "../base/index.js";
import { type Kaddr, type Memory, PAGE_SIZE, PERM, type Region } from "../memory/index.js";
import { SHF, SHT } from "./parse.js";
import { PerCpuLayout } from "./percpu.js";
import { needsGotSlot } from "./relocate.js";
import { type ElfObject, type ElfSection, type ElfSymbol, type LinkOptions, SHN_COMMON } from "./types.js";

/** Fills the unused rest of the text: int3, so that a task which runs over a function's end traps. */
const TEXT_FILL = 0xcc;

/** A section of one object, placed. */
export interface PlacedSection {
	readonly object: ElfObject;
	readonly section: ElfSection;
	readonly address: Kaddr;
}

/** Addresses of all parts of an image. */
export interface Layout {
	readonly regions: Region[];
	/** In order of address. */
	readonly placed: PlacedSection[];
	/** Address of each section, by object, then by section index. */
	readonly addresses: Map<ElfObject, Map<number, Kaddr>>;
	/** Addresses of common symbols, by name: one for all the objects that declare it. */
	readonly common: Map<string, { address: Kaddr; size: number; object: ElfObject }>;
	/** First slot of the global offset table. */
	readonly got: Kaddr;
	readonly percpu: PerCpuLayout;
	readonly end: Kaddr;
}

interface Part {
	readonly size: number;
	readonly align: number;
	readonly place: (address: Kaddr) => void;
	/** Contents; undefined: zeros. */
	readonly data?: Uint8Array;
}

const GROUPS = [
	{ suffix: "text", perm: PERM.READ | PERM.EXEC },
	{ suffix: "rodata", perm: PERM.READ },
	{ suffix: "data", perm: PERM.READ | PERM.WRITE },
] as const;

function groupOf(section: ElfSection): number {
	if ((section.flags & SHF.EXECINSTR) !== 0) return 0;
	return (section.flags & SHF.WRITE) !== 0 ? 2 : 1;
}

/**
 * Places the loaded sections of all objects from `base` on, in three regions, and maps and fills them. If it throws,
 * nothing
 * stays mapped. bss comes last, so that a growing image moves as little as possible.
 */
export function layOut({ name, objects, base, memory, percpu: room }: LinkOptions): Layout {
	const parts: Part[][] = [[], [], []];
	const bss: Part[] = [];
	const placed: PlacedSection[] = [];
	const addresses = new Map<ElfObject, Map<number, Kaddr>>();
	const percpu = new PerCpuLayout(room);
	for (const object of objects) {
		const own = new Map<number, Kaddr>();
		addresses.set(object, own);
		for (const section of object.sections) {
			if ((section.flags & SHF.ALLOC) === 0) continue;
			const place = (address: Kaddr): void => {
				own.set(section.index, address);
				placed.push({ object, section, address });
			};
			const { size, align } = section;
			if (percpu.take(object, section, place)) continue;
			if (section.type === SHT.NOBITS) bss.push({ size, align, place });
			else parts[groupOf(section)]!.push({ size, align, place, data: section.data });
		}
	}
	const common = collectCommon(objects, bss);
	let got: Kaddr = 0;
	parts[1]!.push({
		size: 8 * countGotSlots(objects),
		align: 8,
		place: (address) => {
			got = address;
		},
	});
	parts[1]!.push(percpu.part());
	for (const part of bss) parts[2]!.push(part);

	const regions: Region[] = [];
	let at = base;
	try {
		for (const [index, group] of GROUPS.entries()) {
			const length = fill(`${name}:${group.suffix}`, parts[index]!, at, memory, group.perm, regions);
			at = (at + length) | 0;
		}
	} catch (error) {
		for (const region of regions) memory.unmap(region);
		throw error;
	}
	placed.sort((a, b) => a.address - b.address);
	return { regions, placed, addresses, common, got, percpu, end: at };
}

function collectCommon(objects: readonly ElfObject[], bss: Part[]): Layout["common"] {
	const common: Layout["common"] = new Map();
	const largest = new Map<string, { symbol: ElfSymbol; object: ElfObject }>();
	for (const object of objects) {
		for (const symbol of object.symbols) {
			if (symbol.section !== SHN_COMMON) continue;
			const other = largest.get(symbol.name);
			if (other === undefined || other.symbol.size < symbol.size) largest.set(symbol.name, { symbol, object });
		}
	}
	for (const [name, { symbol, object }] of largest) {
		// The value of a common symbol is its alignment.
		const place = (address: Kaddr): void => {
			common.set(name, { address, size: symbol.size, object });
		};
		bss.push({ size: symbol.size, align: symbol.value, place });
	}
	return common;
}

/** An upper bound: one slot per relocation's symbol, objects counted apart. */
function countGotSlots(objects: readonly ElfObject[]): number {
	let slots = 0;
	for (const object of objects) {
		const symbols = new Set<number>();
		for (const section of object.sections) {
			for (const relocation of section.relocations) {
				if (needsGotSlot(relocation.type)) symbols.add(relocation.symbol.index);
			}
		}
		slots += symbols.size;
	}
	return slots;
}

/** Places parts one after the other and maps pages for them. Returns the bytes taken, a multiple of the page size. */
function fill(
	name: string,
	parts: readonly Part[],
	base: Kaddr,
	memory: Memory,
	perm: number,
	regions: Region[],
): number {
	const offsets: number[] = [];
	let size = 0;
	for (const part of parts) {
		size = Math.ceil(size / part.align) * part.align;
		offsets.push(size);
		size += part.size;
	}
	const length = Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
	// The window ends at address 0: an image must not wrap around.
	if (base >= 0 || base + length > 0) {
		throw new KlpemuError(
			"ELF_NO_SPACE",
			`'${name}' (${length} bytes) does not fit below the end of the kernel window`,
		);
	}
	if (length > 0) {
		const region = memory.map(name, base, length, perm);
		regions.push(region);
		if ((perm & PERM.EXEC) !== 0) memory.bytes.fill(TEXT_FILL, region.offset, region.offset + length);
	}
	for (const [index, part] of parts.entries()) {
		const address = (base + offsets[index]!) | 0;
		if (part.data !== undefined && part.data.length > 0) memory.write(address, part.data);
		part.place(address);
	}
	return length;
}
