import { KlpemuError } from "../base/index.js";
import type { Kaddr } from "../memory/index.js";
import type { Layout } from "./layout.js";
import {
	type ElfObject,
	type ElfSymbol,
	type ImageSymbol,
	isKernelModule,
	type LinkOptions,
	SHN_ABS,
	SHN_COMMON,
	SHN_UNDEF,
} from "./types.js";

/** A symbol that linkers define themselves: the global offset table of the image. */
const GOT_SYMBOL = "_GLOBAL_OFFSET_TABLE_";

/** Where a symbol is defined, by the rules of the gABI: a local one in its object, others in the whole image. */
export class SymbolResolver {
	readonly #layout: Layout;
	readonly #options: LinkOptions;
	/** What the host has answered, by name. */
	readonly #externals = new Map<string, Kaddr | undefined>();
	/** The definition that is used, by name. */
	readonly #globals = new Map<string, { symbol: ElfSymbol; object: ElfObject }>();

	constructor(layout: Layout, options: LinkOptions) {
		this.#layout = layout;
		this.#options = options;
		for (const object of options.objects) {
			for (const symbol of object.symbols) this.#define(symbol, object);
		}
	}

	#define(symbol: ElfSymbol, object: ElfObject): void {
		if (symbol.binding === "local" || symbol.section === SHN_UNDEF || symbol.livepatch) return;
		const other = this.#globals.get(symbol.name);
		const rank = strength(symbol);
		if (other !== undefined && rank === 2 && strength(other.symbol) === 2) {
			throw new KlpemuError("ELF_DUPLICATE_SYMBOL", `'${symbol.name}' is defined in ${other.object.fileName} too`, {
				where: object.fileName,
				hint: "make one of them static, or rename it",
			});
		}
		// Of common symbols the largest is used: its size was allocated.
		const larger = rank === 1 && other !== undefined && strength(other.symbol) === 1 && symbol.size > other.symbol.size;
		if (other === undefined || larger || rank > strength(other.symbol))
			this.#globals.set(symbol.name, { symbol, object });
	}

	/** The symbol's value; undefined if no object defines it. */
	value(symbol: ElfSymbol, object: ElfObject): bigint | undefined {
		if (symbol.index === 0) return 0n;
		if (symbol.binding !== "local") {
			const definition = this.#globals.get(symbol.name);
			if (definition !== undefined) return this.#valueOf(definition.symbol, definition.object);
		}
		if (symbol.section !== SHN_UNDEF) return this.#valueOf(symbol, object);
		if (symbol.name === GOT_SYMBOL) return BigInt(this.#layout.got);
		const external = this.#external(symbol.name);
		if (external !== undefined) return BigInt(external);
		return symbol.binding === "weak" ? 0n : undefined;
	}

	/** Asks the host once: an object has thousands of references, and few names. */
	#external(name: string): Kaddr | undefined {
		if (!this.#externals.has(name)) this.#externals.set(name, this.#options.resolve(name));
		return this.#externals.get(name);
	}

	#valueOf(symbol: ElfSymbol, object: ElfObject): bigint | undefined {
		if (symbol.section === SHN_ABS) return BigInt(symbol.value);
		if (symbol.section === SHN_COMMON) {
			const common = this.#layout.common.get(symbol.name);
			return common === undefined ? undefined : BigInt(common.address);
		}
		const offset = this.#layout.percpu.offsetOf(object, symbol.section);
		if (offset !== undefined) return BigInt(offset + symbol.value);
		const section = this.#layout.addresses.get(object)?.get(symbol.section);
		return section === undefined ? undefined : BigInt(section + symbol.value);
	}

	/** The symbols of the image, sorted by address as kallsyms has them; and its per-CPU variables, sorted by offset. */
	imageSymbols(): { readonly symbols: ImageSymbol[]; readonly percpu: ImageSymbol[] } {
		const symbols: ImageSymbol[] = [];
		const percpu: ImageSymbol[] = [];
		for (const object of this.#options.objects) {
			for (const symbol of object.symbols) {
				if (symbol.section === SHN_UNDEF || symbol.section === SHN_ABS || symbol.livepatch) continue;
				if (symbol.name === "" || symbol.name.startsWith(".L")) continue;
				if (symbol.type === "section" || symbol.type === "file") continue;
				// A weak or common symbol that a stronger one replaces is not in the list.
				const winner = symbol.binding === "local" ? undefined : this.#globals.get(symbol.name);
				if (winner !== undefined && winner.symbol !== symbol) continue;
				const value = this.#valueOf(symbol, object);
				if (value === undefined) continue;
				const { name, size, type, binding } = symbol;
				const list = this.#layout.percpu.offsetOf(object, symbol.section) === undefined ? symbols : percpu;
				list.push({ name, address: Number(value), size, type, binding, object: object.fileName });
			}
		}
		// In a module find_kallsyms_symbol() takes the first symbol of the table, where local ones come first: my_init, not init_module.
		const preferred = this.#options.objects.some(isKernelModule) ? "local" : "global";
		for (const list of [symbols, percpu]) {
			list.sort((a, b) => a.address - b.address || rankAtSameAddress(a, preferred) - rankAtSameAddress(b, preferred));
		}
		return { symbols, percpu };
	}
}

/** Strong definitions are used before common ones, and common ones before weak ones. */
function strength(symbol: ElfSymbol): number {
	if (symbol.binding === "weak") return 0;
	return symbol.section === SHN_COMMON ? 1 : 2;
}

/** Of several symbols at one address, the most useful name comes last: symbolAt() takes the last one. */
function rankAtSameAddress(symbol: ImageSymbol, preferred: "local" | "global"): number {
	return (symbol.type === "func" ? 4 : 0) + (symbol.binding === preferred ? 2 : 0) + (symbol.size > 0 ? 1 : 0);
}

/** Index of the last symbol at or before `address`, or -1. */
export function lastAtOrBefore(symbols: readonly ImageSymbol[], address: Kaddr): number {
	let low = 0;
	let high = symbols.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (symbols[middle]!.address <= address) low = middle + 1;
		else high = middle;
	}
	return low - 1;
}
