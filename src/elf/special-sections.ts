import { KlpemuError } from "../base/index.js";
import { isPerCpu } from "./percpu.js";
import { type ElfObject, type ElfSection, type LinkOptions, SHN_UNDEF } from "./types.js";

interface Refusal {
	/** Contents of the section. */
	readonly holds: string;
	/** How to build the object without it. */
	readonly hint: string;
}

/**
 * Sections by which the kernel's module loader changes code or data, or runs functions, and that this linker does not
 * apply. An image
 * that is loaded without them would behave differently from a kernel.
 *
 * Others with such names change nothing here, as in a kernel on a processor without those mitigations and with more than one CPU:
 * `.return_sites` and `.retpoline_sites` (each site has a relocation, see thunks.ts), `.call_sites`, `.cfi_sites`, `.ibt_endbr_seal`,
 * `.smp_locks`. `__bug_table` is read when a ud2 is executed (linux/guest/bug.ts), `.orc_*` is for another unwinder.
 */
const REFUSED: ReadonlyMap<string, Refusal> = new Map([
	[".parainstructions", { holds: "paravirtual calls", hint: "compile without CONFIG_PARAVIRT" }],
	["__tracepoints_ptrs", { holds: "tracepoints", hint: "compile without DEFINE_TRACE()" }],
	["_ftrace_events", { holds: "trace events", hint: "compile without TRACE_EVENT()" }],
	["__bpf_raw_tp_map", { holds: "raw tracepoints", hint: "compile without TRACE_EVENT()" }],
]);

/** Of an image that has no room in the CPUs' areas. */
const PERCPU: Refusal = {
	holds: "per-CPU variables",
	hint: "use an array of NR_CPUS elements, not DEFINE_PER_CPU()",
};

/** The same for names with a common prefix. */
const FAMILIES: readonly { readonly names: RegExp; readonly refusal: Refusal }[] = [
	{
		names: /^\.(?:preinit_array|init_array|fini_array|ctors|dtors)(?:\.|$)/,
		refusal: { holds: "constructors", hint: "do it in module_init()" },
	},
	{
		names: /^\.initcall.*\.init$/,
		refusal: { holds: "initcalls", hint: "there is no boot: do it in module_init() of a module" },
	},
	{
		names: /^\.klp\./,
		refusal: {
			holds: "livepatch data of a form that is not known",
			hint: "relocations are in .klp.rela.OBJECT.SECTION",
		},
	},
	{
		names: /^\.kpatch\./,
		refusal: { holds: "data of kpatch", hint: "build a module that calls klp_enable_patch()" },
	},
];

/** Tables that change the text when an image is loaded. */
const TABLES: ReadonlySet<string> = new Set(["__jump_table", ".static_call_sites"]);

/** Throws `ELF_SPECIAL_SECTION` for livepatch relocations that come too late: when a module is loaded, the table is applied long since. */
export function refuseLateTable(object: ElfObject, name: string, objname: string, table: ElfSection): void {
	if (objname === "vmlinux" || !TABLES.has(table.name)) return;
	throw new KlpemuError(
		"ELF_SPECIAL_SECTION",
		`section '${name}' (a table that is applied before ${objname} is loaded) is not supported`,
		{ where: object.fileName, hint: `do not use static keys or static calls of ${objname} in the livepatch` },
	);
}

/** Throws `ELF_SPECIAL_SECTION` for the first section that an image needs and that the linker would ignore. */
export function refuseSpecialSections({ objects, percpu }: LinkOptions): void {
	for (const object of objects) {
		const known = new Set(object.klpRelocations.map(({ name }) => name));
		for (const section of object.sections) {
			if (section.size === 0 || known.has(section.name)) continue;
			const found = percpu === undefined && isPerCpu(section) ? PERCPU : refusalOf(section);
			if (found === undefined) continue;
			throw new KlpemuError("ELF_SPECIAL_SECTION", `section '${section.name}' (${found.holds}) is not supported`, {
				where: object.fileName,
				hint: found.hint,
			});
		}
	}
}

function refusalOf({ name, index }: ElfSection): Refusal | undefined {
	if (index === SHN_UNDEF) return undefined;
	return REFUSED.get(name) ?? FAMILIES.find(({ names }) => names.test(name))?.refusal;
}
