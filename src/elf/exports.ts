import type { Kaddr } from "../memory/index.js";
import type { TableEntry, Tables } from "./tables.js";
import { type ElfObject, isKernelModule } from "./types.js";

/** struct kernel_symbol with CONFIG_HAVE_ARCH_PREL32_RELOCATIONS: value, name and name space, relative to themselves. */
const ENTRY = { value: 0, name: 4, size: 12 } as const;
/** KSYM_NAME_LEN */
const LONGEST = 512;

/**
 * What a module of the kernel's build exports (EXPORT_SYMBOL(), EXPORT_SYMBOL_GPL()): other modules find no other of its symbols.
 * Undefined for other objects, whose global symbols can all be used. Throws `ELF_BAD_TABLE`.
 */
export function readExports(objects: readonly ElfObject[], tables: Tables): ReadonlyMap<string, Kaddr> | undefined {
	if (!objects.some(isKernelModule)) return undefined;
	const exports = new Map<string, Kaddr>();
	for (const section of ["__ksymtab", "__ksymtab_gpl"]) {
		for (const entry of tables.entries(section, ENTRY.size)) {
			exports.set(nameOf(tables, entry), entry.relative(ENTRY.value));
		}
	}
	return exports;
}

function nameOf(tables: Tables, entry: TableEntry): string {
	let name = "";
	for (let at = entry.relative(ENTRY.name); name.length < LONGEST; at = (at + 1) | 0) {
		if (!tables.isMapped(at, 1)) break;
		const byte = tables.memory.u8(at);
		if (byte === 0) return name;
		name += String.fromCharCode(byte);
	}
	return entry.fail("the name of the exported symbol is not in memory");
}
