/** `refused`: the kernel returns an errno. `wrong`: it loads and does what nobody wants. `remark`: it may be intended. */
export type Weight = "refused" | "wrong" | "remark";

export interface Kind {
	readonly weight: Weight;
	/** What the kernel returns. */
	readonly errno?: string;
	/**
	 * The kernel sees it when the patched object is loaded. If that is a module that comes after the livepatch, the module is refused,
	 * not the livepatch (klp_module_coming).
	 */
	readonly late?: true;
	/** The fault, in one sentence. */
	readonly fault: string;
	readonly advice: string;
}

const refused = (errno: string, fault: string, advice: string): Kind => ({ weight: "refused", errno, fault, advice });
/** Refused when the patched object is there. */
const late = (fault: string, advice: string): Kind => ({ ...refused("-EINVAL", fault, advice), late: true });
const wrong = (fault: string, advice: string): Kind => ({ weight: "wrong", fault, advice });
const remark = (fault: string, advice: string): Kind => ({ weight: "remark", fault, advice });

/** Refused by the module loader (kernel/module/main.c, arch/x86/kernel/module.c). */
const LOADING = {
	"no-this-module": refused(
		"-ENOEXEC",
		"The file has no section .gnu.linkonce.this_module: it is an object, not a module.",
		"link it as a module, with the kernel's Kbuild",
	),
	"this-module-size": refused(
		"-ENOEXEC",
		"Its struct module is not as large as the struct module of that kernel.",
		"compile it with the headers and the configuration of the kernel that shall load it",
	),
	"no-vermagic": refused(
		"-ENOEXEC",
		"There is no vermagic in .modinfo.",
		"link it as a module, with the kernel's Kbuild; modpost writes vermagic",
	),
	vermagic: refused(
		"-ENOEXEC",
		"Its vermagic is not the kernel's.",
		"compile it with the headers and the configuration of the kernel that shall load it",
	),
	"not-gpl": refused(
		"-ENOENT",
		"Its licence is not compatible with the GPL, and the livepatch functions are exported to GPL modules only.",
		'write MODULE_LICENSE("GPL")',
	),
	"common-symbol": refused(
		"-ENOEXEC",
		"It has a common symbol: a variable that several files may define.",
		"compile with -fno-common, or initialise the variable",
	),
	"unknown-symbol": refused(
		"-ENOENT",
		"It uses a symbol that the kernel does not export.",
		"use an exported symbol, or make it a livepatch symbol (.klp.sym.OBJECT.NAME,POSITION)",
	),
	"symbol-version": refused(
		"-EINVAL",
		"It was compiled against another version of an exported symbol (CONFIG_MODVERSIONS).",
		"compile it with the headers of the kernel that shall load it",
	),
	"symbol-namespace": refused(
		"-EINVAL",
		"It uses a symbol of a namespace that it does not import.",
		"write MODULE_IMPORT_NS() for the namespace",
	),
	"unconverted-symbol": refused(
		"-ENOENT",
		"A livepatch symbol is an ordinary undefined symbol: nobody has converted it.",
		"run klp-convert, objtool klp post-link or create-klp-module over the module",
	),
	"relocation-type": refused(
		"-ENOEXEC",
		"It has a relocation of a type that the kernel does not know.",
		"compile with the kernel's flags: -mcmodel=kernel -fno-pic",
	),
	"relocation-nonzero": refused(
		"-ENOEXEC",
		"The place of a relocation is not zero, so that the kernel does not write there.",
		"do not change the file after it was linked; remove doubled relocations",
	),
} as const satisfies Record<string, Kind>;

/** Relocations that livepatch applies (klp_write_section_relocs, klp_resolve_symbols). */
const RELOCATIONS = {
	"klp-rela-name": refused(
		"-EINVAL",
		"A section with SHF_RELA_LIVEPATCH is not named .klp.rela.OBJECT.SECTION.",
		"name it so; OBJECT is vmlinux or a module's name, 55 characters at most",
	),
	"klp-sym-unmarked": late(
		"A livepatch relocation uses a symbol that is not in SHN_LIVEPATCH (0xff20).",
		"use an ordinary relocation for it, or mark the symbol",
	),
	"klp-sym-format": late("A livepatch symbol is not named .klp.sym.OBJECT.NAME,POSITION.", "name it so"),
	"klp-sym-converter": late(
		"A livepatch symbol has the name that klp-convert reads (.klp.sym.rela.…): the kernel takes 'rela' for the object.",
		"run klp-convert over the module",
	),
	"klp-sym-vmlinux": late(
		"A relocation that waits for a module uses a symbol of vmlinux.",
		"move it to .klp.rela.vmlinux.SECTION, or use the exported symbol",
	),
	"klp-sym-missing": late(
		"The symbol of a livepatch relocation does not exist, or not so often, or not once only.",
		"correct object, name and position; a position counts in the order of addresses, in a module in that of its symbol table",
	),
	"kallsyms-missing": refused(
		"-ENOENT",
		"A symbol that the module looks up itself (SUSE's klp_resolve_kallsyms_relocs) does not exist.",
		"correct symname, objname and sympos in the table",
	),
	"kallsyms-first": wrong(
		"The module looks up a name that several symbols have, and takes the first one: no position says which.",
		"write sympos; it counts from 1",
	),
	"klp-rela-not-alloc": wrong(
		"A section of livepatch relocations is not SHF_ALLOC: the kernel frees it after loading and reads it when the object comes.",
		"keep the flags A and I of .klp.rela sections; strip and objcopy may drop them",
	),
	"klp-rela-unflagged": wrong(
		"A section named .klp.rela.… lacks SHF_RELA_LIVEPATCH: the kernel applies it at once, like any other.",
		"set the flag 0x00100000; strip and objcopy may drop it",
	),
	"klp-rela-no-object": wrong(
		"Livepatch relocations wait for an object that the livepatch does not patch: they are never applied.",
		"add the object to the livepatch, or take the relocations out",
	),
	"klp-rela-other-object": wrong(
		"A function of one object has relocations that are applied when another object is loaded.",
		"name the section after the object whose function it patches",
	),
	"klp-sym-other-object": wrong(
		"A relocation that waits for one object uses a symbol of another, which may not be loaded then.",
		"export the symbol, or make one module depend on the other",
	),
	"klp-rela-section": wrong(
		"The name of a livepatch relocation section names another section than the one that it changes (sh_info).",
		"name it .klp.rela.OBJECT.SECTION with the section of sh_info",
	),
	"reloc-klp-symbol": wrong(
		"An ordinary relocation uses a livepatch symbol, which has no address yet: the kernel writes address 0 without a word.",
		"move the relocation to a section .klp.rela.OBJECT.SECTION",
	),
	"kpatch-intermediate": wrong(
		"A section of kpatch's or objtool's intermediate files is left: the last step of the build did not run.",
		"run create-klp-module, or objtool klp post-link",
	),
} as const satisfies Record<string, Kind>;

/** Refused by klp_enable_patch() (kernel/livepatch/core.c, patch.c). */
const ENABLING = {
	unmarked: refused("-EINVAL", "The module is not marked as a livepatch.", 'write MODULE_INFO(livepatch, "Y")'),
	"module-named-vmlinux": refused("-EINVAL", "The module itself is named vmlinux.", "rename the module"),
	"no-mod": refused("-EINVAL", "klp_patch.mod is NULL.", "write .mod = THIS_MODULE"),
	"no-objs": refused("-EINVAL", "klp_patch.objs is NULL.", "give an array of objects that ends in { }"),
	"no-funcs": refused(
		"-EINVAL",
		"An object has no array of functions.",
		"give an array that ends in { }; for an object with callbacks only, an empty one",
	),
	"object-name-long": refused(
		"-EINVAL",
		"The name of an object is too long for a module.",
		"write the module's name; MODULE_NAME_LEN is 56, with the NUL",
	),
	"object-name-empty": refused(
		"-EINVAL",
		"The name of an object is empty.",
		"write NULL for vmlinux, or the module's name",
	),
	"object-twice": refused(
		"-EEXIST",
		"Two objects have the same name.",
		"put all functions of an object into one array",
	),
	"func-no-name": refused(
		"-EINVAL",
		"A function has no old_name. If another livepatch is there, a kernel before 7.3 crashes on it (klp_find_func).",
		"write .old_name, or end the array with { }",
	),
	"func-no-new": refused("-EINVAL", "A function has no new_func.", "write .new_func"),
	"func-name-long": refused(
		"-EINVAL",
		"The name of a function is too long.",
		"write the name that kallsyms has; KSYM_NAME_LEN is 512, with the NUL (128 before 6.1)",
	),
	"func-twice": refused(
		"-EEXIST",
		"A function is patched twice in one object.",
		"keep one; position 0 and position 1 are the same here",
	),
	"symbol-missing": late(
		"There is no function with this name in its object.",
		"write the name that kallsyms has; the compiler may have inlined, renamed or dropped the function",
	),
	"symbol-ambiguous": late(
		"Several symbols have this name, and no position says which.",
		"write .old_sympos; it counts from 1 in the order of addresses, in a module in that of its symbol table",
	),
	"symbol-position": late(
		"There are fewer symbols of this name than the position says.",
		"write a position from 1 on that exists, or 0 for a unique name",
	),
	"no-call-site": late(
		"The old function has no call site for ftrace: it is notrace, inline assembly, a .cold piece, or no function.",
		"patch its callers",
	),
} as const satisfies Record<string, Kind>;

/** What the kernel accepts. */
const WRONG = {
	"no-init": wrong(
		"The struct module names no init function, so that nothing of the module runs.",
		"write module_init(), and link with the kernel's Kbuild",
	),
	"never-enabled": wrong(
		"The module is marked as a livepatch and never calls klp_enable_patch().",
		"call it in the init function",
	),
	"empty-patch": wrong("The livepatch patches nothing: it loads, and changes nothing.", "fill the arrays"),
	"empty-object": wrong("An object has neither functions nor callbacks.", "fill its array, or leave the object out"),
	"object-vmlinux": wrong(
		"An object is named vmlinux: the kernel waits for a module of this name, which cannot be.",
		"write NULL for vmlinux",
	),
	"object-own": wrong(
		"An object has the livepatch module's own name: the livepatch patches itself.",
		"write the name of the module to patch",
	),
	"object-never": wrong(
		"No module can have this name: the kernel's names have _ in place of -, and no path, suffix or space.",
		"write the name as /proc/modules has it",
	),
	"no-terminator": wrong(
		"An array does not end in an empty element: the kernel reads on into whatever follows.",
		"end the array with { }",
	),
	"funcs-shared": wrong(
		"Two objects have the same array of functions: the kernel puts each function into two lists, and crashes or corrupts them.",
		"give each object an array of its own",
	),
	"name-no-text": wrong(
		"A name does not point to text: the kernel reads something else as a name.",
		"initialise the pointer with a string",
	),
	"new-func-init": wrong(
		"A replacement or callback is __init: its code is freed after loading, and then it is called.",
		"remove __init",
	),
	"data-init": wrong(
		"The livepatch's data is __initdata: it is freed after loading, and the kernel goes on using it.",
		"remove __initdata",
	),
	"new-func-not-code": wrong("A new_func points to data.", "point it to a function"),
	"new-func-middle": wrong(
		"A new_func is not where a function of the symbol table starts: the stack check gets a wrong size for it.",
		"point it to the start of a function; do not strip local symbols",
	),
	"new-func-itself": wrong(
		"A replacement calls the function that it replaces: the call comes back to the replacement, for ever.",
		"copy the body of the old function, or call what it calls",
	),
	"same-address": wrong(
		"Two functions of the livepatch are one function with two names: the last one wins for both.",
		"patch one of the names",
	),
	"clone-left": wrong(
		"The compiler has made a clone of the old function, and the clone is not patched: its callers run the old code.",
		"patch the clone too",
	),
	"position-other-file": wrong(
		"The position names the function of another source file than the replacement's: it is wired to the wrong function.",
		"correct .old_sympos",
	),
	"noreturn-end": wrong(
		"A function ends in a call. A task inside that call returns to the address behind the function, which the stack check does not find.",
		"do not let it sleep there: after the switch it is inside code that a later disable frees",
	),
	"cold-sleeps": wrong(
		"The .cold piece of a function may sleep. The stack check looks at the function only, so that a task in the piece is switched.",
		"mark the function __noinline and its branch likely, or compile it with -fno-reorder-blocks-and-partition",
	),
	"callback-pair": wrong(
		"A callback changes something and its counterpart is missing: pre_patch goes with post_unpatch, post_patch with pre_unpatch.",
		"add the counterpart; without it, nothing is undone when the livepatch is disabled",
	),
	"shadow-never-freed": wrong(
		"Shadow variables are allocated and never freed.",
		"call klp_shadow_free_all() in post_unpatch or in the exit function",
	),
	"state-twice": wrong("Two states have the same id: the second one is never found.", "give each state its own id"),
} as const satisfies Record<string, Kind>;

const REMARKS = {
	"holds-up": remark(
		"A function may sleep. A task that sleeps in the old function holds up enabling; in the replacement, disabling and replacing.",
		"expect the transition to last until the task wakes up and leaves the function",
	),
	"cold-piece": remark(
		"A function has a .cold piece, which the stack check does not look at.",
		"a task that is preempted there counts as outside of the function",
	),
	"replaces-all": remark(
		"The livepatch has replace and patches nothing: it undoes all other livepatches.",
		"nothing, if that is meant",
	),
	"shadow-one-by-one": remark(
		"Shadow variables are freed one by one only: those of objects that are alive when the livepatch goes stay.",
		"call klp_shadow_free_all() in post_unpatch or in the exit function",
	),
	"no-exit": remark("The module has no exit function: it can never be unloaded.", "add module_exit()"),
	"other-kernel": remark(
		"It was compiled for another release. With symbol versions the kernel accepts that as long as all versions fit.",
		"compare the symbol versions: --against Module.symvers",
	),
	"set-at-run-time": remark(
		"The module changes its livepatch structures before it enables them: what is in the file is not what counts.",
		"read the function that does it",
	),
} as const satisfies Record<string, Kind>;

/** Each kind of finding, by chapter. docs/check.md is made from it. */
export const CHAPTERS = {
	"Refused when it is loaded": LOADING,
	"Livepatch relocations": RELOCATIONS,
	"Refused by klp_enable_patch()": ENABLING,
	"Legal, and still wrong": WRONG,
	Remarks: REMARKS,
} as const;

export const KINDS = { ...LOADING, ...RELOCATIONS, ...ENABLING, ...WRONG, ...REMARKS } as const;

export type KindName = keyof typeof KINDS;
