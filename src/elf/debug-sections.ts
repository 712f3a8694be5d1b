import type { ElfObject, ElfSection } from "./types.js";

/** One object at one place. `addressOf`: of a section that is loaded; undefined: it is not. */
export interface PlacedObject {
	readonly object: ElfObject;
	addressOf(section: ElfSection): bigint | undefined;
}

const SHT_RELA = 4;
const RELA_SIZE = 24;
/** Relocations in debug information (x86-64 psABI, 4.4.1), and their sizes. */
const SIZES: ReadonlyMap<number, 4 | 8> = new Map([
	[1, 8],
	[10, 4],
	[11, 4],
]);

/** The debug sections of all objects, each joined to one, and relocated: as ld does it. `only`: the names of those that are wanted. */
export function joinDebugSections(objects: readonly PlacedObject[], only?: readonly string[]): Map<string, Uint8Array> {
	const sizes = new Map<string, number>();
	// The objects of one image placed twice share their sections: each placement has its own copy.
	const copies = objects.map(({ object, addressOf }) => {
		const own = new Map<number, { readonly section: ElfSection; readonly offset: number }>();
		for (const section of object.sections) {
			if (!isDebug(section) || only?.includes(section.name) === false) continue;
			const offset = sizes.get(section.name) ?? 0;
			own.set(section.index, { section, offset });
			sizes.set(section.name, offset + section.size);
		}
		return { object, addressOf, own };
	});
	const joined = new Map([...sizes].map(([name, size]) => [name, new Uint8Array(size)]));
	for (const { object, addressOf, own } of copies) {
		for (const { section, offset } of own.values()) joined.get(section.name)!.set(section.data, offset);
		const baseOf = (index: number): bigint => {
			const debug = own.get(index);
			const section = object.sections[index];
			if (debug !== undefined) return BigInt(debug.offset);
			return (section && addressOf(section)) ?? 0n;
		};
		for (const relocations of object.sections) {
			const target = own.get(relocations.info);
			if (relocations.type !== SHT_RELA || target === undefined) continue;
			relocate(joined.get(target.section.name)!, target.offset, relocations.data, object, baseOf);
		}
	}
	return joined;
}

/** Compressed sections (SHF_COMPRESSED) are left out. */
function isDebug({ name, flags }: ElfSection): boolean {
	return name.startsWith(".debug_") && (flags & 0x800) === 0;
}

function relocate(
	bytes: Uint8Array,
	start: number,
	table: Uint8Array,
	{ symbols }: ElfObject,
	baseOf: (section: number) => bigint,
): void {
	const entries = new DataView(table.buffer, table.byteOffset, table.length);
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	for (let at = 0; at + RELA_SIZE <= table.length; at += RELA_SIZE) {
		const place = start + Number(entries.getBigUint64(at, true));
		const size = SIZES.get(entries.getUint32(at + 8, true));
		const symbol = symbols[entries.getUint32(at + 12, true)];
		if (size === undefined || symbol === undefined || place + size > bytes.length) continue;
		const value = baseOf(symbol.section) + BigInt(symbol.value) + entries.getBigInt64(at + 16, true);
		if (size === 8) view.setBigUint64(place, BigInt.asUintN(64, value), true);
		else view.setUint32(place, Number(BigInt.asUintN(32, value)), true);
	}
}
