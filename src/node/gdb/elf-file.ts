import { type Kaddr, toU64 } from "../../memory/index.js";

export interface FileSymbol {
	readonly name: string;
	readonly address: Kaddr;
	readonly size: number;
	readonly isFunction: boolean;
	readonly isLocal: boolean;
}

/** Memory of the guest: its contents are not in the file. */
export interface FileRegion {
	readonly name: string;
	readonly address: Kaddr;
	readonly length: number;
	readonly executable: boolean;
}

const SHT = { PROGBITS: 1, SYMTAB: 2, STRTAB: 3, NOBITS: 8 } as const;
const SHF = { ALLOC: 2, EXECINSTR: 4 } as const;
const [EHDR, SHDR, SYM] = [64, 64, 24];

interface Section {
	readonly name: string;
	readonly type: number;
	readonly flags: number;
	readonly address: bigint;
	readonly size: number;
	readonly data?: Uint8Array;
	readonly link?: number;
	readonly info?: number;
	readonly entry?: number;
}

/** An executable with symbols and debug information only (System V gABI, chapter 4), for a debugger. */
export function elfFile(
	regions: readonly FileRegion[],
	symbols: readonly FileSymbol[],
	debug: ReadonlyMap<string, Uint8Array>,
): Uint8Array {
	const memory = regions.map(
		({ name, address, length, executable }): Section => ({
			name,
			type: SHT.NOBITS,
			flags: SHF.ALLOC | (executable ? SHF.EXECINSTR : 0),
			address: toU64(address),
			size: length,
		}),
	);
	const information = [...debug].map(
		([name, data]): Section => ({ name, type: SHT.PROGBITS, flags: 0, address: 0n, size: data.length, data }),
	);
	const names = new Strings();
	const { data, locals } = symbolTable(regions, symbols, names);
	const strings = names.bytes();
	const before = [...memory, ...information];
	const table = { address: 0n, flags: 0 };
	return assemble([
		...before,
		{
			...table,
			name: ".symtab",
			type: SHT.SYMTAB,
			size: data.length,
			data,
			link: before.length + 2,
			info: locals,
			entry: SYM,
		},
		{ ...table, name: ".strtab", type: SHT.STRTAB, size: strings.length, data: strings },
	]);
}

function symbolTable(regions: readonly FileRegion[], symbols: readonly FileSymbol[], names: Strings) {
	// Local symbols come first.
	const sorted = [...symbols.filter(({ isLocal }) => isLocal), ...symbols.filter(({ isLocal }) => !isLocal)];
	const data = new Uint8Array(SYM * (sorted.length + 1));
	const view = new DataView(data.buffer);
	for (const [index, { name, address, size, isFunction, isLocal }] of sorted.entries()) {
		const at = SYM * (index + 1);
		const region = regions.findIndex((one) => address >= one.address && address < one.address + one.length);
		view.setUint32(at, names.add(name), true);
		view.setUint8(at + 4, ((isLocal ? 0 : 1) << 4) | (isFunction ? 2 : 1));
		view.setUint16(at + 6, region < 0 ? 0xfff1 : region + 1, true);
		view.setBigUint64(at + 8, toU64(address), true);
		view.setBigUint64(at + 16, BigInt(size), true);
	}
	return { data, locals: symbols.filter(({ isLocal }) => isLocal).length + 1 };
}

function assemble(given: readonly Section[]): Uint8Array {
	const names = new Strings();
	for (const { name } of given) names.add(name);
	names.add(".shstrtab");
	const data = names.bytes();
	const sections = [...given, { name: ".shstrtab", type: SHT.STRTAB, flags: 0, address: 0n, size: data.length, data }];
	const offsets: number[] = [];
	let end = EHDR;
	for (const section of sections) {
		end = Math.ceil(end / 8) * 8;
		offsets.push(end);
		end += section.data?.length ?? 0;
	}
	const table = Math.ceil(end / 8) * 8;
	const file = new Uint8Array(table + SHDR * (sections.length + 1));
	const view = new DataView(file.buffer);
	file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
	view.setUint16(16, 2, true);
	view.setUint16(18, 62, true);
	view.setUint32(20, 1, true);
	view.setBigUint64(40, BigInt(table), true);
	view.setUint16(52, EHDR, true);
	view.setUint16(58, SHDR, true);
	view.setUint16(60, sections.length + 1, true);
	view.setUint16(62, sections.length, true);
	for (const [index, section] of sections.entries()) {
		const at = table + SHDR * (index + 1);
		if (section.data !== undefined) file.set(section.data, offsets[index]);
		view.setUint32(at, names.add(section.name), true);
		view.setUint32(at + 4, section.type, true);
		view.setBigUint64(at + 8, BigInt(section.flags), true);
		view.setBigUint64(at + 16, section.address, true);
		view.setBigUint64(at + 24, BigInt(offsets[index]!), true);
		view.setBigUint64(at + 32, BigInt(section.size), true);
		view.setUint32(at + 40, "link" in section ? (section.link ?? 0) : 0, true);
		view.setUint32(at + 44, "info" in section ? (section.info ?? 0) : 0, true);
		view.setBigUint64(at + 48, 1n, true);
		view.setBigUint64(at + 56, BigInt("entry" in section ? (section.entry ?? 0) : 0), true);
	}
	return file;
}

/** A string table; equal strings are in it once. */
class Strings {
	readonly #at = new Map<string, number>([["", 0]]);
	readonly #parts: Uint8Array[] = [new Uint8Array(1)];
	#length = 1;

	add(text: string): number {
		const known = this.#at.get(text);
		if (known !== undefined) return known;
		const bytes = new TextEncoder().encode(`${text}\0`);
		const at = this.#length;
		this.#at.set(text, at);
		this.#parts.push(bytes);
		this.#length += bytes.length;
		return at;
	}

	bytes(): Uint8Array {
		const all = new Uint8Array(this.#length);
		let at = 0;
		for (const part of this.#parts) {
			all.set(part, at);
			at += part.length;
		}
		return all;
	}
}
