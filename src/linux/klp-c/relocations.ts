import { groupBy } from "../../base/index.js";
import { type PendingRelocation, relocationBytes, relocationName } from "../../elf/index.js";
import { hex, type Kaddr, toU64 } from "../../memory/index.js";
import type { TextPoke } from "../ftrace/index.js";
import type { GuestArguments, GuestMemory, Heap, HostFunctions } from "../guest/index.js";
import { type Dmesg, ENOEXEC, type KernelLayout, Printer } from "../lib/index.js";
import type { LoadedModule } from "../module/index.js";

/** include/uapi/linux/elf.h, of 64 bits. */
const SHDR = { name: 0, type: 4, flags: 8, addr: 16, size: 32, info: 44, bytes: 64 } as const;
const SYM = { name: 0, shndx: 6, value: 8, bytes: 24 } as const;
const RELA = { offset: 0, info: 8, addend: 16, bytes: 24 } as const;
const E_SHNUM = 60;
const SHT_RELA = 4;
const SHF_RELA_LIVEPATCH = 0x0010_0000n;
const SHN_LIVEPATCH = 0xff20;
/** struct mod_kallsyms: behind the symbols and their number. */
const STRTAB = 16;

/** Section headers: none, the symbols, all of memory (so that places are addresses), then the relocations. */
const SYMTAB = 1;
const MEMORY = 2;
const FIRST = 3;

/** What the core gets for one section of livepatch relocations (klp_apply_section_relocs()). */
export interface RelocationArguments {
	readonly sechdrs: Kaddr;
	readonly shstrtab: Kaddr;
	readonly strtab: Kaddr;
	readonly symndx: number;
	/** Numbers of the sections. */
	readonly sections: readonly number[];
}

/** Texts with their NUL, one after the other; `add` gives the place of a text. */
function stringTable(): { add(text: string): number; bytes(): Uint8Array } {
	const all: number[] = [];
	return {
		add(text) {
			const at = all.length;
			for (const byte of new TextEncoder().encode(`${text}\0`)) all.push(byte);
			return at;
		},
		bytes: () => Uint8Array.from(all),
	};
}

/**
 * copy_module_elf(): what the core reads of a livepatch module's ELF file, in its struct module, with the livepatch relocations that the
 * linker has found. Undefined if there is no memory left.
 */
export function copyModuleElf(
	mod: LoadedModule,
	at: Kaddr,
	{ memory, layout, heap }: { memory: GuestMemory; layout: KernelLayout; heap: Heap },
): RelocationArguments | undefined {
	const bySection = groupBy(mod.klpRelocations, ({ section }) => section);
	const symbols = [...new Set(mod.klpRelocations.map(({ symbol }) => symbol))];
	const count = FIRST + bySection.size;
	const [names, strings] = [stringTable(), stringTable()];
	names.add("");
	strings.add("");
	const block = (bytes: number) => {
		const address = heap.kmalloc(Math.max(bytes, 8), true);
		if (address !== 0) mod.owned.push(address);
		return address;
	};
	const info = block(layout.size("struct klp_modinfo"));
	const sechdrs = block(count * SHDR.bytes);
	const symtab = block((symbols.length + 1) * SYM.bytes);
	if (info === 0 || sechdrs === 0 || symtab === 0) return undefined;
	const header = (index: number, field: keyof typeof SHDR) => (sechdrs + index * SHDR.bytes + SHDR[field]) | 0;
	memory.setU64(header(SYMTAB, "addr"), toU64(symtab));

	for (const [index, symbol] of symbols.entries()) {
		const entry = (symtab + (index + 1) * SYM.bytes) | 0;
		memory.setU32((entry + SYM.name) | 0, strings.add(symbol.name));
		const shndx = symbol.livepatch ? SHN_LIVEPATCH : symbol.section;
		memory.setU8((entry + SYM.shndx) | 0, shndx & 0xff);
		memory.setU8((entry + SYM.shndx + 1) | 0, shndx >> 8);
	}
	const sections: number[] = [];
	for (const [name, relocations] of bySection) {
		const index = FIRST + sections.length;
		sections.push(index);
		const relas = block(relocations.length * RELA.bytes);
		if (relas === 0) return undefined;
		memory.setU32(header(index, "name"), names.add(name));
		memory.setU32(header(index, "type"), SHT_RELA);
		memory.setU64(header(index, "flags"), SHF_RELA_LIVEPATCH);
		memory.setU64(header(index, "addr"), toU64(relas));
		memory.setU64(header(index, "size"), BigInt(relocations.length * RELA.bytes));
		memory.setU32(header(index, "info"), MEMORY);
		for (const [place, relocation] of relocations.entries()) {
			writeRela(memory, (relas + place * RELA.bytes) | 0, relocation, symbols.indexOf(relocation.symbol) + 1);
		}
	}
	const [shstrtab, strtab] = [block(names.bytes().length), block(strings.bytes().length)];
	if (shstrtab === 0 || strtab === 0) return undefined;
	memory.write(shstrtab, names.bytes());
	memory.write(strtab, strings.bytes());

	const set = (struct: Kaddr, field: string, value: bigint) =>
		memory.setU64((struct + layout.offset(field)) | 0, value);
	set(at, "module.klp_info", toU64(info));
	memory.setU64((at + layout.offset("module.core_kallsyms") + STRTAB) | 0, toU64(strtab));
	memory.setU8((info + layout.offset("klp_modinfo.hdr") + E_SHNUM) | 0, count & 0xff);
	memory.setU8((info + layout.offset("klp_modinfo.hdr") + E_SHNUM + 1) | 0, count >> 8);
	set(info, "klp_modinfo.sechdrs", toU64(sechdrs));
	set(info, "klp_modinfo.secstrings", toU64(shstrtab));
	memory.setU32((info + layout.offset("klp_modinfo.symndx")) | 0, SYMTAB);
	return { sechdrs, shstrtab, strtab, symndx: SYMTAB, sections };
}

function writeRela(memory: GuestMemory, at: Kaddr, { place, type, addend }: PendingRelocation, symbol: number): void {
	memory.setU64((at + RELA.offset) | 0, toU64(place));
	memory.setU64((at + RELA.info) | 0, (BigInt(symbol) << 32n) | BigInt(type));
	memory.setU64((at + RELA.addend) | 0, BigInt.asUintN(64, addend));
}

/** arch/x86/kernel/module.c: (sechdrs, strtab, symindex, relsec, me) */
export function relocationFunctions(memory: GuestMemory, text_poke: TextPoke, dmesg: Dmesg): HostFunctions {
	const print = new Printer(dmesg, "");
	/** __write_relocate_add() for one relocation: 0 or -ENOEXEC. */
	const write = (rela: Kaddr, symtab: Kaddr, base: bigint, apply: boolean): number => {
		const info = memory.u64((rela + RELA.info) | 0);
		const type = Number(info & 0xffff_ffffn);
		const place = BigInt.asIntN(64, base + memory.u64((rela + RELA.offset) | 0));
		const symbol = memory.u64((symtab + Number(info >> 32n) * SYM.bytes + SYM.value) | 0);
		const addend = BigInt.asIntN(64, memory.u64((rela + RELA.addend) | 0));
		const bytes = relocationBytes(type, { symbol: BigInt.asIntN(64, symbol), addend, place });
		const what = `${relocationName(type)} at ${hex(place)}`;
		if (bytes === undefined) {
			print.pr_err(`x86/modules: overflow or unknown type in relocation ${what}`);
			return -ENOEXEC;
		}
		const at = Number(place);
		const zeros = new Uint8Array(bytes.length);
		const [expected, value] = apply ? [zeros, bytes] : [bytes, zeros];
		if (memory.read(at, bytes.length).some((byte, index) => byte !== expected[index])) {
			const why = apply ? "existing value is nonzero" : "existing value does not match expected value";
			print.pr_err(`x86/modules: Invalid relocation target, ${why} for ${what}`);
			return -ENOEXEC;
		}
		text_poke.text_poke_early(at, value);
		return 0;
	};
	const writeAll = (args: GuestArguments, apply: boolean): number => {
		const [sechdrs, symindex, relsec] = [args.pointer(0), args.u32(2), args.u32(3)];
		const header = (index: number, field: keyof typeof SHDR) => (sechdrs + index * SHDR.bytes + SHDR[field]) | 0;
		const symtab = memory.kaddr(header(symindex, "addr"));
		const relas = memory.kaddr(header(relsec, "addr"));
		const base = memory.u64(header(memory.u32(header(relsec, "info")), "addr"));
		const size = Number(memory.u64(header(relsec, "size")));
		for (let offset = 0; offset < size; offset += RELA.bytes) {
			const ret = write((relas + offset) | 0, symtab, base, apply);
			if (ret !== 0) return ret;
		}
		return 0;
	};
	return {
		plain: {
			apply_relocate_add: (args) => writeAll(args, true),
			clear_relocate_add: (args) => {
				writeAll(args, false);
				return undefined;
			},
		},
		sleeping: {},
	};
}
