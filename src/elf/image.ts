import { declareState, groupBy, KlpemuError, once } from "../base/index.js";
import { hex, type Kaddr, type Memory, type Region, toKaddr, toU64 } from "../memory/index.js";
import { findCallSites } from "./call-sites.js";
import type { PlacedObject } from "./debug-sections.js";
import { UnwindTable } from "./eh-frame.js";
import { readExports } from "./exports.js";
import { type Layout, layOut, type PlacedSection } from "./layout.js";
import { LineTable } from "./lines.js";
import { OrcTable } from "./orc.js";
import { computeRelocation, isBranchRelocation, needsGotSlot, relocationName } from "./relocate.js";
import { knownSection } from "./section-names.js";
import { AppliedTables } from "./special.js";
import { refuseLateTable, refuseSpecialSections } from "./special-sections.js";
import { lastAtOrBefore, SymbolResolver } from "./symbols.js";
import { Tables } from "./tables.js";
import { thunkOf, withoutThunk } from "./thunks.js";
import {
	type ElfObject,
	type ElfRelocation,
	type ElfSection,
	type ExceptionEntry,
	type Image,
	type ImageSymbol,
	type JumpEntry,
	type LinkOptions,
	type PendingRelocation,
	type PerCpuVariables,
	type SourceLine,
	type StaticCallSite,
	UndefinedSymbols,
	type UnwindRow,
} from "./types.js";

const SITES_OF_THUNKS: ReadonlySet<string> = new Set([".return_sites", ".retpoline_sites"]);

/**
 * Loads objects into guest memory as one image: places their sections, resolves their symbols and relocates them.
 *
 * Throws {@link UndefinedSymbols} (all of them at once), `ELF_SPECIAL_SECTION`, `ELF_DUPLICATE_SYMBOL`, `ELF_RELOCATION_OVERFLOW`,
 * `ELF_BAD_MCOUNT`, `ELF_BAD_RELOCATION`, `ELF_BAD_EH_FRAME`, `ELF_BAD_ORC`, `ELF_BAD_TABLE`, `ELF_NO_SPACE`, and what Memory.map throws. Nothing stays mapped then.
 */
export function linkImage(options: LinkOptions): Image {
	refuseSpecialSections(options);
	const layout = layOut(options);
	try {
		return new LoadedImage(options, layout);
	} catch (error) {
		for (const region of layout.regions) options.memory.unmap(region);
		throw error;
	}
}

class LoadedImage implements Image {
	/** Symbols and unwind tables are not in it: the name stands for them. */
	static readonly state = declareState("LoadedImage", { fields: ["name", "base", "loaded"] });

	readonly name: string;
	readonly base: Kaddr;
	readonly end: Kaddr;
	readonly regions: Region[];
	/** The addresses of the regions: the unwinder asks for each frame, and a BigInt takes long. */
	readonly #starts: readonly Kaddr[];
	readonly symbols: readonly ImageSymbol[];
	readonly percpu: PerCpuVariables | undefined;
	readonly mcountLocs: readonly Kaddr[];
	readonly klpRelocations: readonly PendingRelocation[];
	readonly exports: Image["exports"];
	readonly #memory: Memory;
	readonly #placed: readonly PlacedSection[];
	readonly #byName: ReadonlyMap<string, readonly ImageSymbol[]>;
	readonly #unwind: UnwindTable;
	readonly #orc: OrcTable;
	/** Made when a reader asks. */
	readonly #lines = once(() => new LineTable(this.#placedObjects()));
	/** Resolves names for {@link finalize}. */
	readonly #resolve: (name: string) => Kaddr | undefined;
	#tables: AppliedTables | undefined;
	/** False once its memory is unmapped. */
	loaded = true;

	constructor(options: LinkOptions, layout: Layout) {
		this.name = options.name;
		this.base = options.base;
		this.end = layout.end;
		this.regions = layout.regions;
		this.#starts = layout.regions.map((region) => toKaddr(region.address));
		this.#memory = options.memory;
		this.#placed = layout.placed;
		const resolver = new SymbolResolver(layout, options);
		checkUndefined(options.objects, resolver);
		new Relocator(options.memory, resolver, layout).applyAll();
		const { symbols, percpu } = resolver.imageSymbols();
		this.symbols = symbols;
		this.percpu = layout.percpu.variables(options.memory, percpu);
		this.#byName = groupBy([...symbols, ...percpu], ({ name }) => name);
		this.#unwind = new UnwindTable(
			this.sections(".eh_frame").map((part) => ({ ...part, data: options.memory.read(part.address, part.size) })),
		);
		this.#orc = new OrcTable(options.memory, layout.placed);
		this.mcountLocs = findCallSites({
			memory: options.memory,
			placed: this.#placed,
			symbolAt: (address) => this.symbolAt(address)?.symbol,
			regionOf: (address) => this.#regionOf(address),
		});
		this.klpRelocations = pendingRelocations(options.objects, layout);
		this.exports = readExports(options.objects, new Tables(options.memory, layout.placed, layout.regions));
		this.#resolve = (name) => this.symbol(name)?.address ?? options.resolve(name);
		if (this.klpRelocations.length === 0) this.finalize();
	}

	finalize(): void {
		if (this.#tables !== undefined) return;
		this.#tables = new AppliedTables(new Tables(this.#memory, this.#placed, this.regions), this.#resolve);
	}

	get jumpEntries(): readonly JumpEntry[] {
		return this.#applied.jumpEntries;
	}

	get staticCallSites(): readonly StaticCallSite[] {
		return this.#applied.staticCallSites;
	}

	exceptionEntry(ip: Kaddr): ExceptionEntry | undefined {
		return this.#applied.exceptions.get(ip);
	}

	bugEntry(ip: Kaddr): Kaddr | undefined {
		return this.#applied.bugs.get(ip);
	}

	get #applied(): AppliedTables {
		if (this.#tables === undefined) throw new Error(`image '${this.name}' is used before finalize()`);
		return this.#tables;
	}

	lookup(name: string): readonly ImageSymbol[] {
		return this.#byName.get(name) ?? [];
	}

	symbol(name: string): ImageSymbol | undefined {
		const all = this.lookup(name);
		return all.find((symbol) => symbol.binding !== "local") ?? all[0];
	}

	symbolAt(address: Kaddr): { symbol: ImageSymbol; offset: number; size: number } | undefined {
		const region = this.#regionOf(address);
		if (region === undefined) return undefined;
		const index = lastAtOrBefore(this.symbols, address);
		const symbol = this.symbols[index];
		if (symbol === undefined || this.#regionOf(symbol.address) !== region) return undefined;
		const next = this.symbols[index + 1]?.address;
		const end = toKaddr(region.address + BigInt(region.length));
		const size = (next !== undefined && next < end ? next : end) - symbol.address;
		return { symbol, offset: address - symbol.address, size };
	}

	contains(address: Kaddr): boolean {
		return this.#regionOf(address) !== undefined;
	}

	#regionOf(address: Kaddr): Region | undefined {
		for (let i = 0; i < this.regions.length; i++) {
			const region = this.regions[i]!;
			const start = this.#starts[i]!;
			if (address >= start && address < start + region.length) return region;
		}
		return undefined;
	}

	get placedSections(): Image["placedSections"] {
		const memory = this.#memory;
		return this.#placed.map(({ section: { name, size, type }, address }) => ({
			...{ name, address, size, type },
			read: () => memory.read(address, size),
		}));
	}

	sections(name: string): { object: string; address: Kaddr; size: number }[] {
		return this.#placed
			.filter(({ section }) => section.name === name && section.size > 0)
			.map(({ object, section, address }) => ({ object: object.fileName, address, size: section.size }));
	}

	findRow(ip: Kaddr): UnwindRow | undefined {
		return this.#orc.covers(ip) ? this.#orc.findRow(ip) : this.#unwind.findRow(ip);
	}

	lineAt(address: Kaddr): SourceLine | undefined {
		return this.#lines().find(address);
	}

	get linesProblem(): string | undefined {
		return this.#lines().problem;
	}

	#placedObjects(): PlacedObject[] {
		const objects = new Set(this.#placed.map(({ object }) => object));
		return [...objects].map((object) => {
			const own = this.#placed.filter((placed) => placed.object === object);
			const addresses = new Map(own.map(({ section, address }) => [section.index, toU64(address)]));
			return { object, addressOf: ({ index }) => addresses.get(index) };
		});
	}

	unload(): void {
		if (!this.loaded) throw new Error(`image '${this.name}' is unloaded twice`);
		this.loaded = false;
		for (const region of this.regions) this.#memory.unmap(region);
	}
}

/** All undefined symbols in one error, so that the user can correct them together. */
function checkUndefined(objects: readonly ElfObject[], resolver: SymbolResolver): void {
	const missing = new Map<string, Set<string>>();
	for (const object of objects) {
		for (const section of object.sections) {
			for (const relocation of section.relocations) {
				const { symbol } = relocation;
				if (resolver.value(symbol, object) !== undefined || branchWithoutThunk(section, relocation)) continue;
				const users = missing.get(symbol.name) ?? new Set();
				missing.set(symbol.name, users.add(object.fileName));
			}
		}
	}
	if (missing.size === 0) return;
	const list = [...missing].map(([name, users]) => `'${name}' (${[...users].join(", ")})`);
	throw new UndefinedSymbols(
		[...missing.keys()],
		`undefined symbol${list.length > 1 ? "s" : ""} ${list.join(", ")}`,
		objects[0]!.fileName,
	);
}

/** The instruction that replaces the branch, if the relocation is of a branch to a thunk. */
function branchWithoutThunk(
	section: ElfSection,
	{ symbol, type, offset, addend }: ElfRelocation,
): ReturnType<typeof withoutThunk> {
	const thunk = thunkOf(symbol.name);
	if (thunk === undefined || !isBranchRelocation(type) || addend !== -4n) return undefined;
	return withoutThunk(thunk, section.data.subarray(Math.max(0, offset - 3), offset));
}

class Relocator {
	readonly #memory: Memory;
	readonly #resolver: SymbolResolver;
	readonly #layout: Layout;
	/** GOT slots by the value they hold. */
	readonly #slots = new Map<bigint, Kaddr>();
	/** Branches that objtool lists (`.return_sites`, `.retpoline_sites`). */
	readonly #thunkSites: ReadonlySet<Kaddr>;

	constructor(memory: Memory, resolver: SymbolResolver, layout: Layout) {
		this.#memory = memory;
		this.#resolver = resolver;
		this.#layout = layout;
		this.#thunkSites = new Set(layout.placed.flatMap((placed) => this.#sitesIn(placed)));
	}

	#sitesIn({ object, section }: PlacedSection): Kaddr[] {
		if (!SITES_OF_THUNKS.has(section.name)) return [];
		const sites = section.relocations.map(
			({ symbol, addend }) => (this.#resolver.value(symbol, object) ?? 0n) + addend,
		);
		return sites.map((site) => Number(BigInt.asIntN(32, site)));
	}

	applyAll(): void {
		for (const placed of this.#layout.placed) {
			// Nothing reads them, and objtool lists each call.
			if (knownSection(placed.section.name)?.use === "ignored") continue;
			for (const relocation of placed.section.relocations) this.#apply(placed, relocation);
		}
	}

	#apply({ object, section, address }: PlacedSection, relocation: ElfRelocation): void {
		const { symbol, type, addend } = relocation;
		const place = (address + relocation.offset) | 0;
		this.#layout.percpu.checkRelocation(object, section, relocation);
		const value = this.#resolver.value(symbol, object);
		// A processor without mitigations runs no thunks: the kernel replaces each branch that is listed. What is not listed
		// goes on to call the thunk, if there is one.
		const direct = branchWithoutThunk(section, relocation);
		if (direct !== undefined && (value === undefined || this.#thunkSites.has((place - direct.back) | 0))) {
			this.#memory.write((place - direct.back) | 0, direct.bytes);
			return;
		}
		if (value === undefined) throw new Error(`'${symbol.name}' is undefined and was not reported`);
		const result = computeRelocation(type, {
			symbol: value,
			addend,
			place: BigInt(place),
			size: BigInt(symbol.size),
			slot: needsGotSlot(type) ? BigInt(this.#slot(value)) : 0n,
			got: BigInt(this.#layout.got),
		});
		if (!result.fits) {
			throw new KlpemuError(
				"ELF_RELOCATION_OVERFLOW",
				`section '${section.name}' offset 0x${relocation.offset.toString(16)}: ${relocationName(type)} to '${symbol.name}' (${hex(value)}) does not fit into ${result.size} bytes`,
				{ where: object.fileName, hint: "compile with -mcmodel=kernel -fno-pic" },
			);
		}
		this.#write(place, result.size, result.value);
	}

	#write(place: Kaddr, size: number, value: bigint): void {
		if (size === 8) this.#memory.setU64(place, BigInt.asUintN(64, value));
		else if (size === 4) this.#memory.setU32(place, Number(BigInt.asIntN(32, value)));
		else for (let i = 0; i < size; i++) this.#memory.setU8((place + i) | 0, Number((value >> BigInt(8 * i)) & 0xffn));
	}

	#slot(value: bigint): Kaddr {
		let slot = this.#slots.get(value);
		if (slot === undefined) {
			slot = (this.#layout.got + 8 * this.#slots.size) | 0;
			this.#slots.set(value, slot);
			this.#memory.setU64(slot, BigInt.asUintN(64, value));
		}
		return slot;
	}
}

function pendingRelocations(objects: readonly ElfObject[], layout: Layout): PendingRelocation[] {
	const out: PendingRelocation[] = [];
	for (const object of objects) {
		for (const { name, objname, target, relocations } of object.klpRelocations) {
			layout.percpu.checkKlpRelocations(object, name, target);
			refuseLateTable(object, name, objname, object.sections[target]!);
			const section = layout.addresses.get(object)?.get(target);
			// Relocations against sections that are not loaded (debug info) are skipped.
			if (section === undefined) continue;
			for (const { offset, type, addend, symbol } of relocations) {
				const place = (section + offset) | 0;
				out.push({ objname, place, type, addend, symbol, section: name, value: undefined });
			}
		}
	}
	return out;
}
