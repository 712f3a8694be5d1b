/** A section with a meaning of its own for the kernel's module loader. */
export interface KnownSection {
	/** Its name, or the names of a family. */
	readonly names: string | RegExp;
	readonly holds: string;
	/**
	 * `applied`: it changes text or data while the image is loaded. `read`: it is looked up later. `ignored`: here it changes nothing.
	 * `dropped`: it is not loaded. `refused`: an image without it would behave otherwise than in a kernel.
	 */
	readonly use: "applied" | "read" | "ignored" | "dropped" | "refused";
	/** The reason, or the file that uses it; for `refused`: how to build the object without it. */
	readonly why: string;
}

const applied = (names: string | RegExp, holds: string, why: string): KnownSection => ({
	names,
	holds,
	use: "applied",
	why,
});
const read = (names: string | RegExp, holds: string, why: string): KnownSection => ({ names, holds, use: "read", why });
const ignored = (names: string | RegExp, holds: string, why: string): KnownSection => ({
	names,
	holds,
	use: "ignored",
	why,
});
const dropped = (names: string | RegExp, holds: string, why: string): KnownSection => ({
	names,
	holds,
	use: "dropped",
	why,
});
const refused = (names: string | RegExp, holds: string, why: string): KnownSection => ({
	names,
	holds,
	use: "refused",
	why,
});

/** All sections whose names mean something to a kernel; others are text and data. The first one that fits counts. */
export const KNOWN_SECTIONS: readonly KnownSection[] = [
	applied(".altinstructions", "alternative instructions", "alternatives.ts"),
	applied(".altinstr_replacement", "alternative instructions", "alternatives.ts"),
	applied("__jump_table", "jump labels", "jump-labels.ts"),
	applied(".static_call_sites", "static calls", "static-calls.ts"),
	applied("__ex_table", "fixups of faults", "ex-table.ts"),
	applied("__bug_table", "places of WARN() and BUG()", "bug-table.ts"),
	applied(".return_sites", "branches to the return thunk", "thunks.ts"),
	applied(".retpoline_sites", "branches to thunks of indirect branches", "thunks.ts"),
	applied(/^\.data\.\.percpu(?:\.\.|$)/, "per-CPU variables", "percpu.ts"),

	read("__mcount_loc", "call sites of ftrace", "call-sites.ts"),
	read("__patchable_function_entries", "call sites, or the padding in front of functions", "call-sites.ts"),
	read(/^\.orc_(?:unwind|unwind_ip|header)$/, "unwind tables", "orc.ts"),
	read(".eh_frame", "unwind tables", "eh-frame.ts"),
	read("__dyndbg", "places of pr_debug()", "jump-labels.ts, for their static keys"),
	read("__param", "module parameters", "linux/module/params.ts"),
	read(".modinfo", "name, depends, livepatch", "linux/module/loader.ts"),
	read(".gnu.linkonce.this_module", "struct module", "linux/module/loader.ts"),
	read(
		/^__ksymtab/,
		"exported symbols",
		"exports.ts, of a .ko; of other objects, each symbol that is not static can be used",
	),
	read(
		/^(?:\.init\.|__)klp_(?:objects|funcs)$/,
		"what klp-build's module patches",
		"linux/exports/patch-reader.ts, once the module's own init function has made its struct klp_patch",
	),
	// The linker script of kpatch gives its module the ends of each.
	read(
		/^\.kpatch\.(?:funcs|strings|force|syscall|callbacks\..*|hooks\..*)$/,
		"what kpatch's module patches",
		"linux/exports/patch-reader.ts, once the module's own init function has made its struct klp_patch",
	),

	ignored(".smp_locks", "lock prefixes", "only a kernel on one CPU removes them"),
	ignored(".call_sites", "calls that call depth tracking counts", "this processor needs no mitigation"),
	ignored(".cfi_sites", "checks of indirect calls", "this processor needs no mitigation"),
	ignored(
		".ibt_endbr_seal",
		"endbr64 that nothing branches to",
		"the kernel writes another nop of the same size there",
	),
	ignored("__versions", "checksums of symbols", "there is no kernel of the same build to compare with"),
	ignored(/^__version_ext_/, "checksums of symbols", "there is no kernel of the same build to compare with"),
	ignored(/^__kcrctab/, "checksums of exported symbols", "there is no kernel of the same build to compare with"),
	ignored(/^\.note/, "build identification, properties", "only shown"),
	ignored(/^\.BTF/, "types for BPF", "there is no BPF"),
	ignored(
		"_kprobe_blacklist",
		"functions without kprobes",
		"a kprobe there is the module's mistake, which is not looked for",
	),
	ignored("_error_injection_whitelist", "functions whose errors can be injected", "there is no such injection"),
	ignored(".printk_index", "formats of printk()", "only shown"),
	ignored("__dyndbg_classes", "classes of pr_debug()", "queries by class are not supported"),
	ignored(".static_call_tramp_key", "keys of trampolines", "keys are found by name"),

	// scripts/module.lds.S discards them; an object that is no module yet still has them.
	dropped(/^\.discard(?:\.|$)/, "notes for objtool", "not part of a module"),
	dropped(".export_symbol", "notes for modpost", "not part of a module"),

	refused(".parainstructions", "paravirtual calls", "build it for a kernel from 6.8 on, or without CONFIG_PARAVIRT"),
	refused("__tracepoints_ptrs", "tracepoints", "compile without DEFINE_TRACE()"),
	refused("_ftrace_events", "trace events", "compile without TRACE_EVENT()"),
	refused("__bpf_raw_tp_map", "raw tracepoints", "compile without TRACE_EVENT()"),
	refused("__trace_printk_fmt", "formats of trace_printk()", "use printk()"),
	refused(/^\.kunit_(?:init_)?test_suites$/, "KUnit tests", "call them from module_init()"),
	refused(/^\.(?:preinit_array|init_array|fini_array|ctors|dtors)(?:\.|$)/, "constructors", "do it in module_init()"),
	refused(/^\.initcall.*\.init$/, "initcalls", "there is no boot: do it in module_init() of a module"),
	refused(/^\.klp\./, "livepatch data of a form that is not known", "relocations are in .klp.rela.OBJECT.SECTION"),
	refused(
		/^\.kpatch\.|^__klp_relocs(?:\.|$)/,
		"relocations of a livepatch that is not finished",
		"the last step of kpatch-build or klp-build makes .klp.rela.OBJECT.SECTION of them: give the .ko of that step",
	),
];

const byName = new Map(KNOWN_SECTIONS.map((known) => [known.names, known]));
const families = KNOWN_SECTIONS.flatMap((known) =>
	known.names instanceof RegExp ? [{ known, names: known.names }] : [],
);

/** What is known of a section, by its name; undefined: it is data or text like any other. No family has a section of the list. */
export function knownSection(name: string): KnownSection | undefined {
	return byName.get(name) ?? families.find(({ names }) => names.test(name))?.known;
}
