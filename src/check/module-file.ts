import { groupBy, lowerBound } from "../base/index.js";
import {
	type ElfObject,
	type ElfRelocation,
	type ElfSection,
	type ElfSymbol,
	type KlpRelocationSection,
	SHN_ABS,
	SHN_UNDEF,
} from "../elf/index.js";

export const SHF = { WRITE: 1, ALLOC: 2, EXECINSTR: 4, RELA_LIVEPATCH: 0x100000 } as const;
export const SHT_NOBITS = 8;
const SHT_RELA = 4;
const R_X86_64_64 = 1;
/** PC32 and PLT32: the displacement of a branch or of an operand that is relative to rip. */
const PC_RELATIVE: ReadonlySet<number> = new Set([2, 4]);

/** A place in the file's own sections. */
export interface Spot {
	readonly section: number;
	readonly offset: number;
}

/** The value of a pointer, before the file is loaded. */
export type Pointer =
	| { readonly kind: "null" }
	| ({ readonly kind: "here" } & Spot)
	| { readonly kind: "elsewhere"; readonly symbol: string }
	| { readonly kind: "number"; readonly value: bigint };

/** The name of a piece, with that of its function. */
export const COLD_PIECE = /^(.+)\.cold(?:\.\d+)?$/;

/** A name longer than any that the kernel accepts: it is cut here. */
const MAX_NAME = 4096;

/** A module's file, for questions about its contents as they will be after loading. */
export class ModuleFile {
	readonly object: ElfObject;
	/** Relocations of a section by offset; made when they are first asked for. */
	readonly #relocations = new Map<number, Map<number, ElfRelocation>>();
	/** Symbols with names by section, ascending by value. */
	readonly #symbols: ReadonlyMap<number, ElfSymbol[]>;
	/** Source files by symbol. */
	readonly #sources = new Map<ElfSymbol, string>();
	/** Pieces by the function that they were taken out of. */
	readonly #coldPieces: ReadonlyMap<string | undefined, readonly ElfSymbol[]>;
	/** By the object that they wait for. */
	readonly #klpRelocations: ReadonlyMap<string, readonly KlpRelocationSection[]>;
	readonly modinfo: ReadonlyMap<string, readonly string[]>;

	constructor(object: ElfObject) {
		this.object = object;
		let source: string | undefined;
		for (const symbol of object.symbols) {
			if (symbol.type === "file") source = symbol.name;
			else if (source !== undefined) this.#sources.set(symbol, source);
		}
		const named = object.symbols.filter(({ name, type }) => name !== "" && type !== "section" && type !== "file");
		this.#symbols = groupBy(named, ({ section }) => section);
		this.#coldPieces = groupBy(named, ({ name }) => COLD_PIECE.exec(name)?.[1]);
		for (const list of this.#symbols.values()) list.sort((a, b) => a.value - b.value);
		this.#klpRelocations = groupBy(object.klpRelocations, ({ objname }) => objname);
		this.modinfo = readModinfo(this.sectionNamed(".modinfo"));
	}

	/** The first section of this name that is not empty. */
	sectionNamed(name: string): ElfSection | undefined {
		return this.object.sections.find((section) => section.name === name && section.size > 0);
	}

	section({ section }: Spot): ElfSection | undefined {
		return this.object.sections[section];
	}

	/** The name as the kernel has it: `name` of .modinfo, else the file's name as Kbuild would change it. */
	get name(): string {
		const base = this.object.fileName.replace(/^.*\//, "").replace(/\.(ko|o)$/, "");
		return this.modinfo.get("name")?.[0] ?? base.replaceAll(/[-,]/g, "_");
	}

	/** Relocations of a section, livepatch relocations included, by their offset in it. */
	relocationsOf(index: number): ReadonlyMap<number, ElfRelocation> {
		let map = this.#relocations.get(index);
		if (map === undefined) {
			map = new Map();
			for (const relocation of this.object.sections[index]?.relocations ?? []) map.set(relocation.offset, relocation);
			for (const { target, relocations } of this.object.klpRelocations) {
				if (target === index) for (const relocation of relocations) map.set(relocation.offset, relocation);
			}
			this.#relocations.set(index, map);
		}
		return map;
	}

	/** The pointer of eight bytes at a spot; undefined if the section ends before. */
	pointer({ section, offset }: Spot): Pointer | undefined {
		const value = this.number({ section, offset }, 8);
		if (value === undefined) return undefined;
		const relocation = this.relocationsOf(section).get(offset);
		if (relocation?.type === R_X86_64_64) return this.target(relocation, 0);
		return value === 0n ? { kind: "null" } : { kind: "number", value };
	}

	/** What a relocation refers to. `after`: bytes from its place to the end of the instruction, for PC32 and PLT32. */
	target({ symbol, addend, type }: ElfRelocation, after: number): Pointer {
		const offset = Number(addend) + (PC_RELATIVE.has(type) ? after : 0);
		if (symbol.section === SHN_ABS) return { kind: "number", value: BigInt(symbol.value) + BigInt(offset) };
		if (symbol.section === SHN_UNDEF || this.object.sections[symbol.section] === undefined) {
			return symbol.index === 0 ? { kind: "null" } : { kind: "elsewhere", symbol: symbol.name };
		}
		return { kind: "here", section: symbol.section, offset: symbol.value + offset };
	}

	/** An unsigned little-endian number; undefined if the section ends before. bss reads as zeros. */
	number({ section, offset }: Spot, bytes: number): bigint | undefined {
		const holder = this.object.sections[section];
		if (holder === undefined || offset < 0 || offset + bytes > holder.size) return undefined;
		let value = 0n;
		for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(holder.data[offset + i] ?? 0);
		return value;
	}

	/** The text at a spot up to its NUL; undefined if there is none, or if relocations lie in it. */
	text({ section, offset }: Spot): string | undefined {
		const data = this.object.sections[section]?.data;
		if (data === undefined || offset < 0 || offset >= data.length) return undefined;
		const end = data.indexOf(0, offset);
		if (end < 0) return undefined;
		return new TextDecoder("latin1").decode(data.subarray(offset, Math.min(end, offset + MAX_NAME)));
	}

	/** Named symbols of a section, ascending. */
	symbolsOf(section: number): readonly ElfSymbol[] {
		return this.#symbols.get(section) ?? [];
	}

	/** The function or variable that covers a spot; of several the first one that is no padding prefix. */
	symbolAt({ section, offset }: Spot): ElfSymbol | undefined {
		const all = this.symbolsOf(section);
		let found: ElfSymbol | undefined;
		// Symbols do not nest in objects of compilers, so that a covering one is among the last few before the offset.
		for (let i = lastAtOrBefore(all, offset), seen = 0; i >= 0 && seen < 16; i--, seen++) {
			const symbol = all[i]!;
			const covers = symbol.value === offset || offset < symbol.value + symbol.size;
			if (!covers || symbol.name.startsWith("__pfx_")) continue;
			if (found === undefined || rank(symbol) > rank(found)) found = symbol;
		}
		return found;
	}

	/** Where kallsyms lets the function at `offset` end: at the next symbol, or at the section's end. */
	kallsymsEnd({ section, offset }: Spot): number {
		const all = this.symbolsOf(section);
		const size = this.object.sections[section]?.size ?? offset;
		return all[lastAtOrBefore(all, offset) + 1]?.value ?? size;
	}

	/** A spot for people: the symbol, or the section and the offset. */
	describe(spot: Spot): string {
		const symbol = this.symbolAt(spot);
		const section = this.section(spot)?.name ?? "?";
		if (symbol === undefined) return `${section}+0x${spot.offset.toString(16)}`;
		const offset = spot.offset - symbol.value;
		return offset === 0 ? symbol.name : `${symbol.name}+0x${offset.toString(16)}`;
	}

	/** The source file that defines the function at a spot, if it is local and the symbol table says so. */
	sourceOf(spot: Spot): string | undefined {
		const symbol = this.symbolAt(spot);
		return symbol?.binding === "local" ? this.#sources.get(symbol) : undefined;
	}

	/** The pieces that gcc has taken out of a function: `foo.cold`, `foo.cold.1`. */
	coldPiecesOf(name: string): readonly ElfSymbol[] {
		return this.#coldPieces.get(name) ?? [];
	}

	isCode(spot: Spot): boolean {
		return ((this.section(spot)?.flags ?? 0) & SHF.EXECINSTR) !== 0;
	}

	/** Sections that the kernel frees when the init function has returned (module_init_section). */
	isInit(spot: Spot): boolean {
		return this.section(spot)?.name.startsWith(".init") ?? false;
	}

	/** The sections of livepatch relocations that wait for an object. */
	klpRelocationsFor(object: string): readonly KlpRelocationSection[] {
		return this.#klpRelocations.get(object) ?? [];
	}

	/** Livepatch relocation sections by name: also those that lack the flag. */
	relaSections(): readonly ElfSection[] {
		return this.object.sections.filter(({ type, name }) => type === SHT_RELA && name.startsWith(".klp.rela."));
	}
}

/** Of the names at one place, a function's own is used: not a label, and not init_module, by which the kernel finds it. */
function rank({ type, name }: ElfSymbol): number {
	return (type === "func" || type === "object" ? 2 : 0) + (/^(init|cleanup)_module$/.test(name) ? 0 : 1);
}

function lastAtOrBefore(symbols: readonly ElfSymbol[], offset: number): number {
	return lowerBound(symbols.length, (index) => symbols[index]!.value > offset) - 1;
}

/** `key=value` texts, each with a NUL behind it. */
function readModinfo(section: ElfSection | undefined): Map<string, string[]> {
	const entries = new TextDecoder("latin1").decode(section?.data).split("\0");
	const pairs = entries.flatMap((entry) => {
		const at = entry.indexOf("=");
		return at < 0 ? [] : [{ key: entry.slice(0, at), value: entry.slice(at + 1) }];
	});
	const byKey = groupBy(pairs, ({ key }) => key);
	return new Map([...byKey].map(([key, same]) => [key, same.map(({ value }) => value)]));
}
