import { KlpemuError, lowerBound } from "../base/index.js";
import { type ElfObject, type ElfSymbol, SHN_ABS, SHN_UNDEF } from "../elf/index.js";
import { exportsOf } from "./against-text.js";
import { CallGraph, codeOf } from "./code.js";
import { baseName, type Export, type KernelCode, type KernelObject, type KernelSymbol, SymbolIndex } from "./kernel.js";
import { ModuleFile } from "./module-file.js";
import { longer, SLEEPER_NAMES, sleepOf, type WayToSleep } from "./sleeping.js";

const EHDR_SIZE = 64;
const SHDR_SIZE = 64;
const SYM_SIZE = 24;
const SHT = { SYMTAB: 2, NOBITS: 8 } as const;
const STT = { NOTYPE: 0, OBJECT: 1, FUNC: 2, SECTION: 3, FILE: 4 } as const;
const SHF_ALLOC = 2;
/** Names that are not in kallsyms (scripts/mksysmap). */
const IGNORED = /^(?:\$|\.L|__efistub_|__crc_|__kstrtab_|__kstrtabns_|__kcfi_typeid_)/;

interface Section {
	readonly type: number;
	readonly flags: number;
	/** Signed, as {@link KernelSymbol.address}. */
	readonly address: number;
	readonly offset: number;
	readonly size: number;
	readonly link: number;
}

/** A linked kernel, not compressed, with its symbol table. Throws `CHECK_AGAINST`. */
export function parseVmlinux(
	bytes: Uint8Array,
	from: string,
): { object: KernelObject; exports: Map<string, Export> | undefined; vermagic: string | undefined } {
	const image = new Vmlinux(bytes, from);
	const symbols = image.symbols();
	const index = new SymbolIndex(symbols);
	if (index.positions("_stext").length === 0) {
		throw image.fail(
			"it has no symbol _stext: this is no whole kernel",
			"Debian: linux-image-VERSION-dbg has a vmlinux",
		);
	}
	const vermagic = index.positions("vermagic")[0];
	return {
		object: {
			name: "vmlinux",
			from: baseName(from),
			positions: (name) => index.positions(name),
			clones: (name) => index.clones(name),
			code: new VmlinuxCode(image, symbols, index),
		},
		exports: exportsOf(symbols),
		vermagic: vermagic === undefined ? undefined : image.text(vermagic.address),
	};
}

/** Bounds-checked access to a linked ELF file. */
class Vmlinux {
	readonly #bytes: Uint8Array;
	readonly #view: DataView;
	readonly #from: string;
	readonly #sections: readonly Section[];

	constructor(bytes: Uint8Array, from: string) {
		this.#bytes = bytes;
		this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		this.#from = from;
		this.#sections = this.#readSections();
	}

	fail(reason: string, hint = "give a vmlinux as the kernel's build makes it"): KlpemuError {
		return new KlpemuError("CHECK_AGAINST", reason, { where: this.#from, hint });
	}

	#check(offset: number, size: number): void {
		if (offset < 0 || size < 0 || offset + size > this.#bytes.length)
			throw this.fail("the file is cut short or damaged");
	}

	#signed(at: number): number {
		this.#check(at, 8);
		return Number(this.#view.getBigInt64(at, true));
	}

	#readSections(): Section[] {
		this.#check(0, EHDR_SIZE);
		const view = this.#view;
		const start = this.#signed(40);
		const count = view.getUint16(60, true);
		if (view.getUint16(18, true) !== 62 || view.getUint16(58, true) !== SHDR_SIZE) {
			throw this.fail("not an ELF file for x86-64");
		}
		this.#check(start, count * SHDR_SIZE);
		return Array.from({ length: count }, (_, index) => {
			const at = start + index * SHDR_SIZE;
			const section = {
				type: view.getUint32(at + 4, true),
				flags: view.getUint32(at + 8, true),
				address: this.#signed(at + 16),
				offset: this.#signed(at + 24),
				size: this.#signed(at + 32),
				link: view.getUint32(at + 40, true),
			};
			if (index > 0 && section.type !== SHT.NOBITS) this.#check(section.offset, section.size);
			return section;
		});
	}

	/** What kallsyms has, by address. */
	symbols(): KernelSymbol[] {
		const table = this.#sections.find(({ type }) => type === SHT.SYMTAB);
		const strings = table === undefined ? undefined : this.#sections[table.link];
		if (table === undefined || strings === undefined) throw this.fail("it has no symbol table", "do not strip it");
		const out: KernelSymbol[] = [];
		let file: string | undefined;
		for (let at = table.offset; at + SYM_SIZE <= table.offset + table.size; at += SYM_SIZE) {
			const info = this.#view.getUint8(at + 4);
			const section = this.#view.getUint16(at + 6, true);
			const type = info & 15;
			const isLocal = info >> 4 === 0;
			const name = this.#string(strings, this.#view.getUint32(at, true));
			if (type === STT.FILE) file = name;
			if (section === SHN_UNDEF || type === STT.SECTION || type === STT.FILE) continue;
			if (name === "" || IGNORED.test(name) || (isLocal && section === SHN_ABS)) continue;
			const address = this.#signed(at + 8);
			out.push({ name, address, section: 0, file: isLocal ? file : undefined });
		}
		return out.sort((a, b) => a.address - b.address);
	}

	#string(strings: Section, offset: number): string {
		const start = strings.offset + offset;
		const end = strings.offset + strings.size;
		let text = "";
		for (let at = start; at < end && at < this.#bytes.length; at++) {
			const byte = this.#bytes[at]!;
			if (byte === 0) return text;
			text += String.fromCharCode(byte);
		}
		return text;
	}

	/** The bytes from an address up to `size`, as far as the file has them. */
	bytesAt(address: number, size: number): Uint8Array {
		const section = this.#sections.find(
			({ type, flags, address: start, size: length }) =>
				type !== SHT.NOBITS && (flags & SHF_ALLOC) !== 0 && address >= start && address < start + length,
		);
		if (section === undefined) return new Uint8Array(0);
		const at = section.offset + (address - section.address);
		return this.#bytes.subarray(at, Math.min(at + size, section.offset + section.size));
	}

	text(address: number): string | undefined {
		const bytes = this.bytesAt(address, 256);
		const end = bytes.indexOf(0);
		return end < 0 ? undefined : new TextDecoder("latin1").decode(bytes.subarray(0, end));
	}
}

/** Calls on a way to a function that sleeps. Deeper ones would lead through the allocators from nearly everywhere. */
const MAX_DEPTH = 3;
/** No function of a kernel is longer. */
const MAX_FUNCTION = 1 << 20;
/** Bytes of code that are searched in one kernel. */
const MAX_SEARCHED = 256 << 20;

class VmlinuxCode implements KernelCode {
	readonly #image: Vmlinux;
	/** Addresses of all symbols, ascending. */
	readonly #addresses: readonly number[];
	readonly #names = new Map<number, string>();
	/** Call sites, ascending; undefined: the kernel has no list of them. */
	readonly #sites: readonly number[] | undefined;
	readonly #fentry: number | undefined;
	#searched = 0;

	constructor(image: Vmlinux, symbols: readonly KernelSymbol[], index: SymbolIndex) {
		this.#image = image;
		this.#addresses = symbols.map(({ address }) => address);
		for (const { name, address } of symbols) if (!this.#names.has(address)) this.#names.set(address, name);
		for (const { name, address } of index.named(SLEEPER_NAMES)) this.#names.set(address, name);
		this.#sites = siteList(image, index);
		this.#fentry = index.positions("__fentry__")[0]?.address;
	}

	hasCallSite({ address }: KernelSymbol): boolean | undefined {
		const end = this.#end(address);
		if (this.#sites !== undefined) {
			const site = this.#sites[firstAtOrAfter(this.#sites, address)];
			return site !== undefined && site < end;
		}
		return this.#fentry === undefined || this.isCut
			? undefined
			: this.#branches(address).some(({ to }) => to === this.#fentry);
	}

	wayToSleep({ address }: KernelSymbol): WayToSleep | undefined {
		const seen = new Set([address]);
		let level: { address: number; through: readonly string[] }[] = [{ address, through: [] }];
		for (let depth = 0; depth < MAX_DEPTH; depth++) {
			const next: typeof level = [];
			let best: WayToSleep | undefined;
			for (const { address: from, through } of level) {
				for (const { to } of this.#branches(from)) {
					const name = this.#names.get(to)!;
					const sleep = sleepOf(name);
					if (sleep !== undefined) best = longer(best, { sleep, through: [...through, name] });
					if (seen.has(to)) continue;
					seen.add(to);
					next.push({ address: to, through: [...through, name] });
				}
			}
			if (best !== undefined) return best;
			level = next;
		}
		return undefined;
	}

	lastCall({ address }: KernelSymbol): string | undefined {
		const last = this.#branches(address).at(-1);
		return last?.call && last.end === this.#end(address) ? this.#names.get(last.to) : undefined;
	}

	/** Where kallsyms lets the function end. */
	#end(address: number): number {
		return this.#addresses[firstAtOrAfter(this.#addresses, address + 1)] ?? address;
	}

	get isCut(): boolean {
		return this.#searched > MAX_SEARCHED;
	}

	/** Direct branches to the starts of symbols, found by their bytes. */
	#branches(address: number): { call: boolean; end: number; to: number }[] {
		if (this.isCut) return [];
		const code = this.#image.bytesAt(address, Math.min(this.#end(address) - address, MAX_FUNCTION));
		this.#searched += code.length;
		const view = new DataView(code.buffer, code.byteOffset, code.byteLength);
		const out: { call: boolean; end: number; to: number }[] = [];
		for (let at = 0; at + 5 <= code.length; at++) {
			const conditional = code[at] === 0x0f && (code[at + 1]! & 0xf0) === 0x80 && at + 6 <= code.length;
			if (code[at] !== 0xe8 && code[at] !== 0xe9 && !conditional) continue;
			const place = at + (conditional ? 2 : 1);
			const to = address + place + 4 + view.getInt32(place, true);
			if (!this.#names.has(to)) continue;
			out.push({ call: code[at] === 0xe8, end: address + place + 4, to });
			at = place + 3;
		}
		return out;
	}
}

/** `__mcount_loc` of the linked kernel, sorted. */
function siteList(image: Vmlinux, index: SymbolIndex): number[] | undefined {
	const start = index.positions("__start_mcount_loc")[0]?.address;
	const end = index.positions("__stop_mcount_loc")[0]?.address;
	if (start === undefined || end === undefined) return undefined;
	const bytes = image.bytesAt(start, end - start);
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const sites: number[] = [];
	for (let at = 0; at + 8 <= bytes.length; at += 8) sites.push(Number(view.getBigInt64(at, true)));
	// Zeros, if the kernel is relocated at boot and has the list as relocations only.
	return sites.some((site) => site !== 0) ? sites.sort((a, b) => a - b) : undefined;
}

function firstAtOrAfter(sorted: readonly number[], value: number): number {
	return lowerBound(sorted.length, (index) => sorted[index]! >= value);
}

/** A module's file as a target of livepatches. Its symbols count in the order of its symbol table (find_kallsyms_symbol_value). */
export function moduleAsTarget(object: ElfObject): KernelObject {
	const file = new ModuleFile(object);
	const symbols: KernelSymbol[] = [];
	const byPlace = new Map<KernelSymbol, ElfSymbol>();
	let source: string | undefined;
	for (const symbol of object.symbols) {
		if (symbol.type === "file") source = symbol.name;
		if (symbol.section === SHN_UNDEF || symbol.name === "" || symbol.type === "section" || symbol.type === "file")
			continue;
		const { name, value: address, section } = symbol;
		const entry = { name, address, section, file: symbol.binding === "local" ? source : undefined };
		symbols.push(entry);
		byPlace.set(entry, symbol);
	}
	const index = new SymbolIndex(symbols);
	const sites = mcountSites(file);
	const codeFor = (entry: KernelSymbol) => codeOf(byPlace.get(entry)!);
	const graph = new CallGraph(file);
	return {
		name: file.name,
		from: baseName(object.fileName),
		positions: (name) => index.positions(name),
		clones: (name) => index.clones(name),
		code: {
			hasCallSite: ({ section, address }) => {
				const end = file.kallsymsEnd({ section, offset: address });
				return [...(sites.get(section) ?? [])].some((site) => site >= address && site < end);
			},
			wayToSleep: (entry) => graph.wayToSleep(codeFor(entry)),
			get isCut() {
				return graph.isCut;
			},
			lastCall: (entry) => {
				const last = graph.lastCall(codeFor(entry));
				return last === undefined ? undefined : graph.nameOf(last);
			},
		},
	};
}

/** Call sites by section: the relocations of `__mcount_loc`. */
function mcountSites(file: ModuleFile): Map<number, Set<number>> {
	const out = new Map<number, Set<number>>();
	for (const { name, relocations } of file.object.sections) {
		if (name !== "__mcount_loc") continue;
		for (const { symbol, addend } of relocations) {
			const set = out.get(symbol.section) ?? new Set<number>();
			out.set(symbol.section, set.add(symbol.value + Number(addend)));
		}
	}
	return out;
}
