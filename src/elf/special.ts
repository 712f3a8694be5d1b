import type { Kaddr } from "../memory/index.js";
import { applyAlternatives } from "./alternatives.js";
import { readBugTable } from "./bug-table.js";
import { readExceptionTable } from "./ex-table.js";
import { applyJumpLabels } from "./jump-labels.js";
import { applyStaticCalls } from "./static-calls.js";
import type { Tables } from "./tables.js";
import type { ExceptionEntry, JumpEntry, StaticCallSite } from "./types.js";

/** What the tables of an image say, once they are applied to its text. */
export class AppliedTables {
	readonly jumpEntries: readonly JumpEntry[];
	readonly staticCallSites: readonly StaticCallSite[];
	readonly exceptions: ReadonlyMap<Kaddr, ExceptionEntry>;
	/** Entries by the address of their ud2. */
	readonly bugs: ReadonlyMap<Kaddr, Kaddr>;

	/**
	 * Changes the text in the kernel's order: module_finalize(), then jump_label_add_module() and static_call_add_module(). `resolve`:
	 * the address of a symbol that the image defines or can use. Throws `ELF_BAD_TABLE`, `ELF_SPECIAL_SECTION`.
	 */
	constructor(tables: Tables, resolve: (name: string) => Kaddr | undefined) {
		applyAlternatives(tables, resolve);
		this.exceptions = readExceptionTable(tables);
		this.bugs = readBugTable(tables);
		this.jumpEntries = applyJumpLabels(tables);
		this.staticCallSites = applyStaticCalls(tables, resolve);
	}
}
