import type { Kaddr } from "../memory/index.js";
import type { Tables } from "./tables.js";

/** struct bug_entry with relative pointers: the address of the ud2 comes first (include/asm-generic/bug.h). */
const ENTRY_SIZE = 12;
const UD2_SIZE = 2;

/** The addresses of the entries of `__bug_table`, by the address of their ud2. Throws `ELF_BAD_TABLE`. */
export function readBugTable(tables: Tables): Map<Kaddr, Kaddr> {
	const out = new Map<Kaddr, Kaddr>();
	for (const entry of tables.entries("__bug_table", ENTRY_SIZE)) {
		const ud2 = entry.text(0, UD2_SIZE);
		// find_bug() takes the first one.
		if (!out.has(ud2)) out.set(ud2, entry.address);
	}
	return out;
}
