import { KlpemuError } from "../base/index.js";
import type { Kaddr, Memory, Region } from "../memory/index.js";

/** Symbol types and bindings by the names readelf prints (gABI, "Symbol Table"). */
export type SymbolType = "notype" | "object" | "func" | "section" | "file" | "common" | "tls" | "other";
export type SymbolBinding = "local" | "global" | "weak";

/** Section header indices that do not name a section. */
export const SHN_UNDEF = 0;
export const SHN_ABS = 0xfff1;
export const SHN_COMMON = 0xfff2;
/** Symbols that the kernel resolves when the livepatch's object is loaded (include/uapi/linux/elf.h). */
export const SHN_LIVEPATCH = 0xff20;

export interface ElfSymbol {
	readonly index: number;
	readonly name: string;
	/** Offset in its section; the alignment for a common symbol. */
	readonly value: number;
	readonly size: number;
	readonly type: SymbolType;
	readonly binding: SymbolBinding;
	/** Section index, or SHN_UNDEF, SHN_ABS, SHN_COMMON. */
	readonly section: number;
	/** It is in SHN_LIVEPATCH, and named `.klp.sym.OBJECT.NAME,SYMPOS`. */
	readonly livepatch: boolean;
}

export interface ElfRelocation {
	/** Offset in the section that is patched. */
	readonly offset: number;
	/** R_X86_64_*; {@link relocationName} gives its name. */
	readonly type: number;
	readonly symbol: ElfSymbol;
	readonly addend: bigint;
}

export interface ElfSection {
	readonly index: number;
	readonly name: string;
	/** SHT_* */
	readonly type: number;
	/** SHF_*, low 32 bits. */
	readonly flags: number;
	/** Place of the contents in the file, in bytes. */
	readonly offset: number;
	readonly size: number;
	readonly align: number;
	readonly link: number;
	readonly info: number;
	/** The contents; empty for SHT_NOBITS. */
	readonly data: Uint8Array;
	/** In the order of the file. */
	readonly relocations: readonly ElfRelocation[];
}

/** A parsed relocatable object. Nothing in it refers outside the file: every offset and index was checked. */
export interface ElfObject {
	readonly fileName: string;
	/** By section header index; entry 0 is the null section. */
	readonly sections: readonly ElfSection[];
	readonly symbols: readonly ElfSymbol[];
	/** `.klp.rela.*` sections: relocations that livepatch applies when it patches an object. */
	readonly klpRelocations: readonly KlpRelocationSection[];
}

/** The section with the struct module that modpost gives to each module. */
export const THIS_MODULE = ".gnu.linkonce.this_module";

/** True for a module as the kernel's build makes it (a .ko). */
export function isKernelModule({ sections }: ElfObject): boolean {
	return sections.some(({ name }) => name === THIS_MODULE);
}

/** `.klp.rela.OBJNAME.SECTION` (Documentation/livepatch/module-elf-format.rst). */
export interface KlpRelocationSection {
	readonly name: string;
	/** `vmlinux` or a module name. */
	readonly objname: string;
	/** Index of the section that is patched. */
	readonly target: number;
	readonly relocations: readonly ElfRelocation[];
}

/** One symbol of a loaded image, as kallsyms has it. */
export interface ImageSymbol {
	readonly name: string;
	readonly address: Kaddr;
	/** Bytes; 0 if the object gives no size. */
	readonly size: number;
	readonly type: SymbolType;
	readonly binding: SymbolBinding;
	/** The object file that defines it. */
	readonly object: string;
}

/** Where the caller's frame is, at one instruction. Registers are numbered as the hardware encodes them. */
export interface UnwindRow {
	/** CFA = this register + cfaOffset. The CFA is rsp as it was before the call pushed the return address. */
	readonly cfaRegister: number;
	readonly cfaOffset: number;
	/** If given: the CFA is the word at this sum, plus cfaLoad (ORC_REG_SP_INDIRECT and ORC_REG_BP_INDIRECT). */
	readonly cfaLoad?: number;
	/** The return address is at CFA + raOffset; undefined: this code has no caller, the stack ends here. */
	readonly raOffset: number | undefined;
	/**
	 * The return address is the next instruction of the caller, not the one behind a call: look it up as it is. This is
	 * the case under an interrupt (augmentation "S"), and in a trampoline that has put the redirected function there.
	 */
	readonly signal: boolean;
	/**
	 * If given: the frame is that of an interrupt or exception, and the code segment of the interrupted code is at CFA + csOffset. User
	 * code has no caller in the kernel: the stack ends there.
	 */
	readonly csOffset?: number;
	/** Registers of the caller that this frame keeps, each at CFA + offset; or at `base` + offset, a register of this frame. */
	readonly saved: readonly { readonly register: number; readonly offset: number; readonly base?: number }[];
	/**
	 * Registers, a bit for each number, that have the caller's value still if they are not in `saved`. By default the callee-saved ones:
	 * .eh_frame describes these. ORC knows of rsp and rbp only.
	 */
	readonly preserves?: number;
}

/** A livepatch relocation of a loaded image, still to be applied. */
export interface PendingRelocation {
	readonly objname: string;
	/** Address at which the value is written. */
	readonly place: Kaddr;
	readonly type: number;
	readonly addend: bigint;
	readonly symbol: ElfSymbol;
	/** The section `.klp.rela.*` that it is in. */
	readonly section: string;
	/** The symbol's address while the relocation is applied (sym->st_value). */
	value: bigint | undefined;
}

/** A line of the source. */
export interface SourceLine {
	/** As the compiler has named it: `kernel/livepatch/core.c`. */
	readonly file: string;
	readonly line: number;
}

/** Parameters of {@link linkImage}. */
export interface LinkOptions {
	/** Names the regions, and the image in errors: `vmlinux` or a module name. */
	readonly name: string;
	readonly objects: readonly ElfObject[];
	/** First address; page aligned. */
	readonly base: Kaddr;
	readonly memory: Memory;
	/**
	 * The bytes of each CPU's area that the image's per-CPU variables may have, as offsets from the area's address (gs). Without it,
	 * an image with such variables is refused.
	 */
	readonly percpu?: PerCpuRoom;
	/** Symbols that the objects do not define themselves. */
	readonly resolve: (name: string) => Kaddr | undefined;
}

/** [offset, end) of each CPU's area. The canary of -fstack-protector is at 0x28 (asm/processor.h, fixed_percpu_data). */
export interface PerCpuRoom {
	readonly offset: number;
	readonly end: number;
}

/**
 * The per-CPU variables of an image. The host copies `data` into each CPU's area, at `offset`, before any code of the image runs
 * (percpu_modcopy(), setup_per_cpu_areas()), and sets this_cpu_off to the area's address if the image defines it.
 */
export interface PerCpuVariables {
	/** Bytes from the area's address (gs). */
	readonly offset: number;
	/** Initial values, relocated. */
	readonly data: Uint8Array;
	/** By offset: their `address` is the offset from the area's address. */
	readonly symbols: readonly ImageSymbol[];
}

/** A site of a static key (`__jump_table`): a nop, or a jump to `target`. */
export interface JumpEntry {
	readonly code: Kaddr;
	readonly target: Kaddr;
	/** Address of the struct static_key: on if its 32-bit counter is above 0. */
	readonly key: Kaddr;
	/** The jump is there while the key is off. */
	readonly branch: boolean;
	/** Bytes of the nop and of the jump. */
	readonly size: 2 | 5;
}

/** A site of a static call (`.static_call_sites`). */
export interface StaticCallSite {
	readonly addr: Kaddr;
	/** Address of the struct static_call_key, which begins with the function's address; 0: no function. */
	readonly key: Kaddr;
	/** A jump or return in place of a call. */
	readonly tail: boolean;
}

/** A fault at `insn` goes on at `fixup`, after what the type asks for (`__ex_table`, fixup_exception() of arch/x86/mm/extable.c). */
export interface ExceptionEntry {
	readonly insn: Kaddr;
	readonly fixup: Kaddr;
	/** EX_TYPE_* */
	readonly type:
		| "DEFAULT"
		| "FAULT"
		| "UACCESS"
		| "DEFAULT_MCE_SAFE"
		| "FAULT_MCE_SAFE"
		| "POP_REG"
		| "IMM_REG"
		| "UCOPY_LEN";
	/** As the hardware numbers them. */
	readonly register: number;
	readonly imm: number;
	/** EX_FLAG_CLEAR_AX, EX_FLAG_CLEAR_DX: the register becomes 0. */
	readonly clearAx: boolean;
	readonly clearDx: boolean;
}

/** Objects in guest memory, relocated. */
export interface Image {
	readonly name: string;
	readonly base: Kaddr;
	/** The first address after the last region, page aligned. */
	readonly end: Kaddr;
	/** Text (RX), rodata (R), data with bss (RW); those that are not empty. */
	readonly regions: readonly Region[];
	/** By address, as kallsyms sorts them. Per-CPU variables have no address: they are in `percpu`. */
	readonly symbols: readonly ImageSymbol[];
	/** Undefined: the image has no per-CPU variables. */
	readonly percpu: PerCpuVariables | undefined;
	/** fentry sites, ascending: the address of the five bytes. */
	readonly mcountLocs: readonly Kaddr[];
	readonly klpRelocations: readonly PendingRelocation[];
	/** The symbols that other images can use, by name; undefined: all that are not local. */
	readonly exports: ReadonlyMap<string, ExportedSymbol> | undefined;
	/** By key and address. When the guest changes a key, the host writes jumpLabelCode() at each site of it. */
	readonly jumpEntries: readonly JumpEntry[];
	/** By key. When the guest changes a key's function, the host writes staticCallCode() at each site of it. */
	readonly staticCallSites: readonly StaticCallSite[];
	/** The entry of `__ex_table` for a fault at the instruction `ip` (search_exception_tables()). */
	exceptionEntry(ip: Kaddr): ExceptionEntry | undefined;
	/** Address of the struct bug_entry of the ud2 at `ip`, in `__bug_table` (find_bug()); undefined: it is no WARN() or BUG(). */
	bugEntry(ip: Kaddr): Kaddr | undefined;
	/** Every symbol of this name, in the order of `symbols` (sympos counts from 1 in it); then per-CPU variables. */
	lookup(name: string): readonly ImageSymbol[];
	/** The first symbol of this name that is not local, else the first one. */
	symbol(name: string): ImageSymbol | undefined;
	/**
	 * The nearest function or object that starts at or before `address`, within the image. `size`: up to the next symbol, or to the end of
	 * the region; ImageSymbol.size is what the ELF symbol says.
	 */
	symbolAt(
		address: Kaddr,
	): { readonly symbol: ImageSymbol; readonly offset: number; readonly size: number } | undefined;
	/** True when `address` lies in one of the regions. */
	contains(address: Kaddr): boolean;
	/** All sections that are loaded, in order of address. `read`: what is there now. */
	readonly placedSections: readonly {
		readonly name: string;
		readonly address: Kaddr;
		readonly size: number;
		/** SHT_* */
		readonly type: number;
		readonly read: () => Uint8Array;
	}[];
	/** Contents of a loaded section, by name: address and size of each object's part. */
	sections(name: string): readonly { readonly object: string; readonly address: Kaddr; readonly size: number }[];
	/**
	 * The unwind row for the instruction at `ip`. Return addresses must be looked up as address - 1. In the text of an object that has
	 * `.orc_unwind`, ORC alone counts, as in a kernel (CONFIG_UNWINDER_ORC), also if it has `.eh_frame` too.
	 */
	findRow(ip: Kaddr): UnwindRow | undefined;
	/** The line of the source that the instruction at `address` comes from; undefined: no object says it (`.debug_line`). */
	lineAt(address: Kaddr): SourceLine | undefined;
	/** Why lines are not known although an object has some, or should have: for reports. */
	readonly linesProblem: string | undefined;
	/**
	 * Applies the tables that change the text: jump labels, static calls. An image with livepatch relocations needs this
	 * once those for vmlinux are applied, before any of its code runs (klp_apply_section_relocs() comes first in a kernel, too);
	 * {@link linkImage} does it for the others. Throws `ELF_BAD_TABLE`.
	 */
	finalize(): void;
	/** Unmaps the regions. */
	unload(): void;
}

/** What a .ko gives to other modules. */
export interface ExportedSymbol {
	readonly address: Kaddr;
	/** EXPORT_SYMBOL_GPL() */
	readonly gplOnly: boolean;
	/** EXPORT_SYMBOL_NS(): modules that use it must import the name space; empty: it is in none. */
	readonly namespace: string;
}

/** Symbols that an image uses and that nothing defines: `ELF_UNDEFINED_SYMBOL`. */
export class UndefinedSymbols extends KlpemuError {
	readonly symbols: readonly string[];

	constructor(symbols: readonly string[], reason: string, where: string) {
		const hint = "nothing in this image, in vmlinux or among the kernel's own symbols has that name";
		super("ELF_UNDEFINED_SYMBOL", reason, { where, hint });
		this.symbols = symbols;
	}
}
