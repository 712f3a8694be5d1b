/** Builds small relocatable objects byte by byte, so that each relocation type and each mistake can be had. */

import { KlpemuError } from "../../src/base/index.js";

export interface SectionSpec {
	readonly name: string;
	readonly data?: Uint8Array;
	/** SHT_NOBITS of this size. */
	readonly bss?: number;
	readonly flags?: number;
	readonly type?: number;
	readonly align?: number;
	readonly relocations?: readonly { offset: number; type: number; symbol: string; addend?: number }[];
	/** A `.klp.rela.` section instead of `.rela`: its whole name. */
	readonly klpRela?: string;
}

export interface SymbolSpec {
	readonly name: string;
	/** Name of the section, or `undef`, `abs`, `common`, `livepatch`. */
	readonly section: string;
	readonly value?: number;
	readonly size?: number;
	readonly type?: number;
	/** 0 local, 1 global (default), 2 weak. */
	readonly binding?: number;
}

export const ALLOC = 2;
export const TEXT = ALLOC | 4;
export const DATA = ALLOC | 1;
const SPECIAL: Record<string, number> = { undef: 0, abs: 0xfff1, common: 0xfff2, livepatch: 0xff20 };

interface Header {
	name: string;
	type: number;
	flags: number;
	data: Uint8Array;
	size: number;
	align: number;
	link: number;
	info: number;
}

export function buildObject(sections: readonly SectionSpec[], symbols: readonly SymbolSpec[] = []): Uint8Array {
	const headers: Header[] = [header("", 0, new Uint8Array(0))];
	for (const { name, data = new Uint8Array(0), bss, flags = TEXT, type = 1, align = 16 } of sections) {
		headers.push({
			...header(name, bss === undefined ? type : 8, bss === undefined ? data : new Uint8Array(0)),
			flags,
			align,
			size: bss ?? data.length,
		});
	}
	const index = (name: string) => SPECIAL[name] ?? headers.findIndex((section) => section.name === name);
	const strings = new Strings();
	const table = words(24 * (symbols.length + 1), (view) => {
		for (const [i, { name, section, value = 0, size = 0, type = 2, binding = 1 }] of symbols.entries()) {
			const at = 24 * (i + 1);
			view.setUint32(at, strings.add(name), true);
			view.setUint8(at + 4, (binding << 4) | type);
			view.setUint16(at + 6, index(section), true);
			view.setBigInt64(at + 8, BigInt(value), true);
			view.setBigInt64(at + 16, BigInt(size), true);
		}
	});
	const symtab = headers.length;
	headers.push({ ...header(".symtab", 2, table), link: symtab + 1, align: 8 });
	headers.push(header(".strtab", 3, new Uint8Array(0)));
	for (const { name, relocations = [], klpRela } of sections) {
		if (relocations.length === 0) continue;
		const rela = words(24 * relocations.length, (view) => {
			for (const [i, { offset, type, symbol, addend = 0 }] of relocations.entries()) {
				view.setBigUint64(24 * i, BigInt(offset), true);
				view.setUint32(24 * i + 8, type, true);
				view.setUint32(24 * i + 12, symbols.findIndex((other) => other.name === symbol) + 1, true);
				view.setBigInt64(24 * i + 16, BigInt(addend), true);
			}
		});
		const flags = klpRela === undefined ? 0x40 : 0x100042;
		headers.push({ ...header(klpRela ?? `.rela${name}`, 4, rela), link: symtab, info: index(name), flags, align: 8 });
	}
	headers[symtab + 1]!.data = strings.bytes();
	headers[symtab + 1]!.size = headers[symtab + 1]!.data.length;
	return assembleFile(headers);
}

function header(name: string, type: number, data: Uint8Array): Header {
	return { name, type, flags: 0, data, size: data.length, align: 1, link: 0, info: 0 };
}

function assembleFile(headers: Header[]): Uint8Array {
	const names = new Strings();
	headers.push(header(".shstrtab", 3, new Uint8Array(0)));
	const nameOffsets = headers.map(({ name }) => names.add(name));
	const last = headers.at(-1)!;
	last.data = names.bytes();
	last.size = last.data.length;
	let at = 64;
	const offsets = headers.map(({ data }) => {
		at = (at + 7) & ~7;
		const offset = at;
		at += data.length;
		return offset;
	});
	const shoff = (at + 7) & ~7;
	const file = words(shoff + 64 * headers.length, (view) => {
		for (const [i, byte] of [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1].entries()) view.setUint8(i, byte);
		view.setUint16(16, 1, true);
		view.setUint16(18, 62, true);
		view.setUint32(20, 1, true);
		view.setBigUint64(40, BigInt(shoff), true);
		view.setUint16(52, 64, true);
		view.setUint16(58, 64, true);
		view.setUint16(60, headers.length, true);
		view.setUint16(62, headers.length - 1, true);
		for (const [i, section] of headers.entries()) {
			const h = shoff + 64 * i;
			view.setUint32(h, nameOffsets[i]!, true);
			view.setUint32(h + 4, section.type, true);
			view.setBigUint64(h + 8, BigInt(section.flags), true);
			view.setBigUint64(h + 24, BigInt(offsets[i]!), true);
			view.setBigUint64(h + 32, BigInt(section.size), true);
			view.setUint32(h + 40, section.link, true);
			view.setUint32(h + 44, section.info, true);
			view.setBigUint64(h + 48, BigInt(section.align), true);
			view.setBigUint64(h + 56, section.type === 2 || section.type === 4 ? 24n : 0n, true);
		}
	});
	for (const [i, { data }] of headers.entries()) file.set(data, offsets[i]!);
	return file;
}

function words(size: number, fill: (view: DataView) => void): Uint8Array {
	const bytes = new Uint8Array(size);
	fill(new DataView(bytes.buffer));
	return bytes;
}

class Strings {
	#text = "\0";
	add(name: string): number {
		if (name === "") return 0;
		const at = this.#text.length;
		this.#text += `${name}\0`;
		return at;
	}
	bytes(): Uint8Array {
		return new TextEncoder().encode(this.#text);
	}
}

/** The KlpemuError that `run` throws; any other error goes on. */
export function failure(run: () => unknown): KlpemuError {
	try {
		run();
	} catch (error) {
		if (error instanceof KlpemuError) return error;
		throw error;
	}
	throw new Error("no error");
}
