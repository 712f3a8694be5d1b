import type { TableEntry, Tables } from "./tables.js";
import { type ElfObject, type ExportedSymbol, isKernelModule } from "./types.js";

/** struct kernel_symbol with CONFIG_HAVE_ARCH_PREL32_RELOCATIONS: value, name and name space, relative to themselves. */
const ENTRY = { value: 0, name: 4, namespace: 8, size: 12 } as const;
/** KSYM_NAME_LEN */
const LONGEST = 512;

/**
 * What a module of the kernel's build exports (EXPORT_SYMBOL(), EXPORT_SYMBOL_GPL()): other modules find no other of its symbols.
 * Undefined for other objects, whose global symbols can all be used. Throws `ELF_BAD_TABLE`.
 */
export function readExports(
	objects: readonly ElfObject[],
	tables: Tables,
): ReadonlyMap<string, ExportedSymbol> | undefined {
	if (!objects.some(isKernelModule)) return undefined;
	const exports = new Map<string, ExportedSymbol>();
	for (const section of ["__ksymtab", "__ksymtab_gpl"]) {
		for (const entry of tables.entries(section, ENTRY.size)) {
			exports.set(textOf(tables, entry, ENTRY.name), {
				address: entry.relative(ENTRY.value),
				gplOnly: section === "__ksymtab_gpl",
				namespace: textOf(tables, entry, ENTRY.namespace),
			});
		}
	}
	return exports;
}

function textOf(tables: Tables, entry: TableEntry, field: number): string {
	let text = "";
	for (let at = entry.relative(field); text.length < LONGEST; at = (at + 1) | 0) {
		if (!tables.isMapped(at, 1)) break;
		const byte = tables.memory.u8(at);
		if (byte === 0) return text;
		text += String.fromCharCode(byte);
	}
	return entry.fail("the name of the exported symbol, or of its name space, is not in memory");
}
