import { beginsWith, ELF_MAGIC, type KlpemuError } from "../base/index.js";
import { MAX_NAME, Reader, stringAt } from "./reader.js";
import { relocationName, relocationSize } from "./relocate.js";
import { knownSection } from "./section-names.js";
import {
	type ElfObject,
	type ElfRelocation,
	type ElfSection,
	type ElfSymbol,
	type KlpRelocationSection,
	SHN_ABS,
	SHN_COMMON,
	SHN_LIVEPATCH,
	SHN_UNDEF,
	type SymbolBinding,
	type SymbolType,
} from "./types.js";

const EHDR_SIZE = 64;
const SHDR_SIZE = 64;
const SYM_SIZE = 24;
const RELA_SIZE = 24;

export const SHT = { NULL: 0, SYMTAB: 2, STRTAB: 3, RELA: 4, NOBITS: 8, REL: 9, X86_64_UNWIND: 0x70000001 } as const;
export const SHF = { WRITE: 1, ALLOC: 2, EXECINSTR: 4, TLS: 0x400, RELA_LIVEPATCH: 0x100000 } as const;
const SHN_LORESERVE = 0xff00;

/** Compressed files, as distributions install modules. */
const PACKED = [
	{ magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], by: "xz", unpack: "xz -dk" },
	{ magic: [0x28, 0xb5, 0x2f, 0xfd], by: "zstd", unpack: "zstd -d" },
	{ magic: [0x1f, 0x8b], by: "gzip", unpack: "gunzip -k" },
] as const;

/** No kernel object has more. The limit keeps a damaged size field from a huge allocation. */
const MAX_SECTION = 64 << 20;
const MAX_ALIGN = 4096;

const TYPES: readonly SymbolType[] = ["notype", "object", "func", "section", "file", "common", "tls"];
const BINDINGS: readonly SymbolBinding[] = ["local", "global", "weak"];

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Reads an ELF64 little-endian x86-64 relocatable object (System V gABI chapter 4, x86-64 psABI chapter 4).
 *
 * Throws a KlpemuError that names file, section and offset: `ELF_NOT_ELF`, `ELF_UNSUPPORTED`, `ELF_TRUNCATED`,
 * `ELF_BAD_SECTION`, `ELF_BAD_SYMBOL`, `ELF_BAD_RELOCATION`. Relocations of sections that are not loaded (debug
 * information) are left out.
 */
export function parseElf(bytes: Uint8Array, fileName: string): ElfObject {
	const reader = new Reader(bytes, fileName);
	const { shoff, shnum, shstrndx } = readHeader(reader);
	const sections = readSections(reader, shoff, shnum, shstrndx);
	const symbols = readSymbols(reader, sections);
	const klpRelocations: KlpRelocationSection[] = [];
	const relocations = new Map<Mutable<ElfSection>, ElfRelocation[]>();
	for (const section of sections) {
		if (section.type === SHT.REL) {
			throw reader.error("ELF_UNSUPPORTED", `section '${section.name}' holds REL relocations; x86-64 has RELA only`);
		}
		if (section.type !== SHT.RELA) continue;
		const target = sections[section.info];
		if (section.info === 0 || target === undefined) {
			throw reader.error(
				"ELF_BAD_SECTION",
				`section '${section.name}' patches section ${section.info}: no such section`,
			);
		}
		if ((section.flags & SHF.RELA_LIVEPATCH) !== 0) {
			klpRelocations.push(readKlpRelocations(reader, section, target, symbols));
		} else if ((target.flags & SHF.ALLOC) !== 0) {
			const all = relocations.get(target) ?? [];
			relocations.set(target, all);
			for (const one of readRelocations(reader, section, target, symbols)) all.push(one);
		}
	}
	for (const [target, all] of relocations) target.relocations = all;
	return { fileName, sections, symbols, klpRelocations };
}

function readHeader(reader: Reader): { shoff: number; shnum: number; shstrndx: number } {
	const { bytes } = reader;
	if (!beginsWith(bytes, ELF_MAGIC)) {
		const packed = PACKED.find(({ magic }) => beginsWith(bytes, magic));
		if (packed !== undefined) {
			const { by, unpack } = packed;
			throw reader.error("ELF_NOT_ELF", `compressed by ${by}`, `'${unpack} ${reader.fileName}' unpacks it`);
		}
		const reason = bytes.length === 0 ? "the file is empty" : "not an ELF file (no 7f 45 4c 46 at offset 0)";
		const wanted = reader.fileName.endsWith(".ko")
			? "give a module, as the kernel's build makes it (make modules)"
			: "give a relocatable object, as `gcc -c` makes it";
		throw reader.error("ELF_NOT_ELF", reason, wanted);
	}
	reader.check(0, EHDR_SIZE, "the ELF header");
	if (bytes[4] !== 2 || bytes[5] !== 1) {
		throw reader.error("ELF_UNSUPPORTED", "not a 64-bit little-endian object (e_ident[4..5] at offset 0x4)");
	}
	const type = reader.u16(16, "e_type");
	const machine = reader.u16(18, "e_machine");
	if (machine !== 62) {
		throw reader.error("ELF_UNSUPPORTED", `not for x86-64: e_machine at offset 0x12 is ${machine}, not 62`);
	}
	if (type !== 1) {
		const kinds: Record<number, string> = { 2: "an executable", 3: "a shared object or executable", 4: "a core dump" };
		throw reader.error(
			"ELF_UNSUPPORTED",
			`not a relocatable object: e_type at offset 0x10 is ${type}${kinds[type] ? ` (${kinds[type]})` : ""}, not 1`,
			"compile with `gcc -c`, do not link",
		);
	}
	const shoff = reader.size(40, "e_shoff");
	const shentsize = reader.u16(58, "e_shentsize");
	const shnum = reader.u16(60, "e_shnum");
	const shstrndx = reader.u16(62, "e_shstrndx");
	if (shentsize !== SHDR_SIZE) {
		throw reader.error("ELF_BAD_SECTION", `e_shentsize at offset 0x3a is ${shentsize}, not ${SHDR_SIZE}`);
	}
	if (shnum === 0) throw reader.error("ELF_UNSUPPORTED", "no section headers (e_shnum at offset 0x3c is 0)");
	reader.check(shoff, shnum * SHDR_SIZE, `the table of ${shnum} section headers`);
	if (shstrndx >= shnum) {
		throw reader.error("ELF_BAD_SECTION", `e_shstrndx at offset 0x3e is ${shstrndx}, but there are ${shnum} sections`);
	}
	return { shoff, shnum, shstrndx };
}

function readSections(reader: Reader, shoff: number, shnum: number, shstrndx: number): Mutable<ElfSection>[] {
	const sections: Mutable<ElfSection>[] = [];
	for (let index = 0; index < shnum; index++) {
		const at = shoff + index * SHDR_SIZE;
		const what = `header of section ${index}`;
		const type = reader.u32(at + 4, what);
		const offset = reader.size(at + 24, what);
		// The size field of section 0 has another meaning if there are very many sections.
		const size = type === SHT.NULL ? 0 : reader.size(at + 32, what);
		const align = reader.size(at + 48, what);
		const hasData = type !== SHT.NOBITS && type !== SHT.NULL;
		if (hasData) reader.check(offset, size, `section ${index} (header at 0x${at.toString(16)})`);
		sections.push({
			index,
			name: "",
			type,
			flags: Number(BigInt.asUintN(32, reader.i64(at + 8, what))),
			offset,
			size,
			align: align === 0 ? 1 : align,
			link: reader.u32(at + 40, what),
			info: reader.u32(at + 44, what),
			data: hasData ? reader.bytes.subarray(offset, offset + size) : new Uint8Array(0),
			relocations: [],
		});
	}
	// Sections that share bytes would multiply what a small file can cost.
	const bytes = sections.reduce((sum, { data }) => sum + data.length, 0);
	if (bytes > reader.bytes.length) {
		const reason = `its sections have ${bytes} bytes, and the file ${reader.bytes.length}: they overlap`;
		throw reader.error("ELF_BAD_SECTION", reason);
	}
	const names = sections[shstrndx]!.data;
	for (const section of sections) {
		const at = shoff + section.index * SHDR_SIZE;
		const name = section.type === SHT.NULL ? "" : stringAt(names, reader.u32(at, "sh_name"));
		if (name === undefined) {
			throw reader.error("ELF_BAD_SECTION", `section ${section.index} (header at 0x${at.toString(16)}) has no name`);
		}
		section.name = name;
		if (knownSection(name)?.use === "dropped") section.flags &= ~SHF.ALLOC;
		checkLoadable(reader, section, at);
	}
	return sections;
}

/** Checks the properties that the linker relies on. Sections that are not loaded are not checked. */
function checkLoadable(reader: Reader, section: ElfSection, at: number): void {
	if ((section.flags & SHF.ALLOC) === 0) return;
	const where = `section '${section.name}' (header at 0x${at.toString(16)})`;
	if (section.size > MAX_SECTION) {
		throw reader.error("ELF_BAD_SECTION", `${where} has ${section.size} bytes; ${MAX_SECTION} are supported`);
	}
	if (section.align > MAX_ALIGN || (section.align & (section.align - 1)) !== 0) {
		throw reader.error(
			"ELF_BAD_SECTION",
			`${where} is aligned to ${section.align}: not a power of two up to ${MAX_ALIGN}`,
		);
	}
	if ((section.flags & SHF.TLS) !== 0) {
		throw reader.error("ELF_UNSUPPORTED", `${where} holds thread-local data: kernel code has none`);
	}
}

function readSymbols(reader: Reader, sections: readonly ElfSection[]): ElfSymbol[] {
	const tables = sections.filter((section) => section.type === SHT.SYMTAB);
	const table = tables[0];
	if (table === undefined) return [];
	if (tables.length > 1)
		throw reader.error("ELF_BAD_SECTION", `two symbol tables: '${table.name}', '${tables[1]!.name}'`);
	const strings = sections[table.link];
	if (strings?.type !== SHT.STRTAB) {
		throw reader.error(
			"ELF_BAD_SECTION",
			`section '${table.name}' has its names in section ${table.link}: no string table`,
		);
	}
	if (table.size % SYM_SIZE !== 0) {
		throw reader.error("ELF_BAD_SECTION", `section '${table.name}' has ${table.size} bytes: not whole symbols`);
	}
	const symbols: ElfSymbol[] = [];
	for (let index = 0; index * SYM_SIZE < table.size; index++) {
		symbols.push(readSymbol(reader, sections, strings.data, index, table.offset + index * SYM_SIZE));
	}
	return symbols;
}

function readSymbol(
	reader: Reader,
	sections: readonly ElfSection[],
	strings: Uint8Array,
	index: number,
	at: number,
): ElfSymbol {
	const where = `symbol ${index} at 0x${at.toString(16)}`;
	const info = reader.u8(at + 4, where);
	const section = reader.u16(at + 6, where);
	const exact = index === 0 ? 0n : reader.i64(at + 8, where);
	const value = Number(exact);
	const size = index === 0 ? 0 : reader.size(at + 16, where);
	const nameOffset = reader.u32(at, where);
	const named = nameOffset === 0 ? "" : stringAt(strings, nameOffset);
	if (named === undefined)
		throw reader.error("ELF_BAD_SYMBOL", `${where} has no name of at most ${MAX_NAME} characters in the string table`);
	const type = TYPES[info & 15] ?? "other";
	const binding = BINDINGS[info >> 4];
	if (binding === undefined) throw reader.error("ELF_BAD_SYMBOL", `${where} '${named}' has the binding ${info >> 4}`);
	const holder = section < SHN_LORESERVE ? sections[section] : undefined;
	if (section < SHN_LORESERVE) {
		if (holder === undefined) {
			throw reader.error("ELF_BAD_SYMBOL", `${where} '${named}' is in section ${section}: no such section`);
		}
		const loaded = section !== SHN_UNDEF && (holder.flags & SHF.ALLOC) !== 0;
		if (loaded && (value < 0 || value + size > holder.size)) {
			throw reader.error(
				"ELF_BAD_SYMBOL",
				`${where} '${named}' is at 0x${value.toString(16)}, ${size} bytes, of section '${holder.name}', which has ${holder.size}`,
			);
		}
	} else if (section !== SHN_ABS && section !== SHN_COMMON && section !== SHN_LIVEPATCH) {
		throw reader.error("ELF_UNSUPPORTED", `${where} '${named}' has the special section 0x${section.toString(16)}`);
	}
	// An address, which lies in the kernel window, or a constant, such as a checksum of 32 bits.
	if (section === SHN_ABS && (exact < -0x80000000n || exact > 0xffffffffn)) {
		const hex = BigInt.asUintN(64, exact).toString(16);
		throw reader.error("ELF_BAD_SYMBOL", `${where} '${named}' is absolute, 0x${hex}: not in the kernel window`);
	}
	if (section === SHN_COMMON && (size > MAX_SECTION || value < 1 || value > MAX_ALIGN || (value & (value - 1)) !== 0)) {
		throw reader.error("ELF_BAD_SYMBOL", `${where} '${named}' is common with ${size} bytes aligned to ${value}`);
	}
	// A section symbol has no name of its own.
	const name = named === "" && type === "section" && holder !== undefined ? holder.name : named;
	return { index, name, value, size, type, binding, section, livepatch: section === SHN_LIVEPATCH };
}

function readRelocations(
	reader: Reader,
	section: ElfSection,
	target: ElfSection,
	symbols: readonly ElfSymbol[],
): ElfRelocation[] {
	if (section.size % RELA_SIZE !== 0) {
		throw reader.error("ELF_BAD_SECTION", `section '${section.name}' has ${section.size} bytes: not whole relocations`);
	}
	if (target.type === SHT.NOBITS && section.size > 0) {
		throw reader.error(
			"ELF_BAD_RELOCATION",
			`section '${section.name}' patches '${target.name}', which has no contents`,
		);
	}
	const out: ElfRelocation[] = [];
	const view = new DataView(section.data.buffer, section.data.byteOffset, section.size);
	for (let at = 0; at < section.size; at += RELA_SIZE) {
		const type = view.getUint32(at + 8, true);
		const symbol = symbols[view.getUint32(at + 12, true)];
		const size = relocationSize(type);
		const offset = view.getUint32(at, true);
		const isInFile = view.getUint32(at + 4, true) === 0;
		if (!isInFile || symbol === undefined || size === undefined || offset + size > target.size)
			throw badRelocation(reader, section, target, symbols, at / RELA_SIZE);
		out.push({ offset, type, symbol, addend: view.getBigInt64(at + 16, true) });
	}
	return out;
}

/** What is wrong with a relocation. An object has thousands that are right. */
function badRelocation(
	reader: Reader,
	section: ElfSection,
	target: ElfSection,
	symbols: readonly ElfSymbol[],
	index: number,
): KlpemuError {
	const at = section.offset + index * RELA_SIZE;
	const where = `relocation ${index} at 0x${at.toString(16)} of section '${section.name}'`;
	const offset = reader.size(at, where);
	const type = reader.u32(at + 8, where);
	if (symbols[reader.u32(at + 12, where)] === undefined) {
		const stripped = symbols.length === 0;
		return reader.error(
			"ELF_BAD_RELOCATION",
			`${where} names a symbol that does not exist${stripped ? ": there is no symbol table" : ""}`,
			...(stripped ? ["the file was stripped of more than debug information: strip -g keeps symbols"] : []),
		);
	}
	if (relocationSize(type) === undefined) {
		return reader.error(
			"ELF_BAD_RELOCATION",
			`${where} has the type ${relocationName(type)}, which is not supported`,
			"compile with the kernel's flags: -mcmodel=kernel -fno-pic",
		);
	}
	return reader.error(
		"ELF_BAD_RELOCATION",
		`${where} patches offset 0x${offset.toString(16)} of '${target.name}', which has ${target.size} bytes`,
	);
}

/** `.klp.rela.OBJNAME.SECTION`: most section names begin with a dot of their own. */
function readKlpRelocations(
	reader: Reader,
	section: ElfSection,
	target: ElfSection,
	symbols: readonly ElfSymbol[],
): KlpRelocationSection {
	const objname = /^\.klp\.rela\.([^.]+)\../.exec(section.name)?.[1];
	if (objname === undefined) {
		throw reader.error(
			"ELF_BAD_SECTION",
			`section '${section.name}' is marked SHF_RELA_LIVEPATCH but is not named .klp.rela.OBJECT.SECTION`,
		);
	}
	const relocations = readRelocations(reader, section, target, symbols);
	return { name: section.name, objname, target: target.index, relocations };
}
