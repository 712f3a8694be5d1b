import { KlpemuError, lowerBound } from "../base/index.js";
import { type Kaddr, type Memory, PERM, type Region, toKaddr, toU64 } from "../memory/index.js";
import type { ElfObject, ElfRelocation, ElfSection } from "./types.js";

/** A section in guest memory, relocated. */
interface Placed {
	readonly object: ElfObject;
	readonly section: ElfSection;
	readonly address: Kaddr;
}

/** The tables of an image: sections of entries of one size, which refer to text and data by 32-bit offsets from themselves. */
export class Tables {
	readonly memory: Memory;
	readonly #placed: readonly Placed[];
	/** The regions of text: [start, end). */
	readonly #text: readonly { readonly start: number; readonly end: number }[];
	/** Relocations of a section by offset. */
	readonly #relocations = new Map<ElfSection, readonly ElfRelocation[]>();

	/** `placed`: by address. */
	constructor(memory: Memory, placed: readonly Placed[], regions: readonly Region[]) {
		this.memory = memory;
		this.#placed = placed;
		this.#text = regions
			.filter(({ perm }) => (perm & PERM.EXEC) !== 0)
			.map(({ address, length }) => ({ start: toKaddr(address), end: toKaddr(address) + length }));
	}

	/** Entries of all sections of this name. Throws `ELF_BAD_TABLE` if one does not consist of whole entries. */
	*entries(name: string, size: number): Generator<TableEntry, void, void> {
		for (const part of this.#placed) {
			if (part.section.name !== name) continue;
			if (part.section.size % size !== 0) {
				throw new KlpemuError(
					"ELF_BAD_TABLE",
					`section '${name}' has ${part.section.size} bytes: not whole entries of ${size} bytes`,
					{ where: part.object.fileName },
				);
			}
			for (let offset = 0; offset < part.section.size; offset += size) {
				yield new TableEntry(this, part.object, part.section, offset, (part.address + offset) | 0);
			}
		}
	}

	/** True if [address, address + size) is text of the image. */
	isText(address: Kaddr, size: number): boolean {
		return this.#text.some(({ start, end }) => address >= start && address + size <= end);
	}

	/** True if [address, address + size) is mapped, in the image or out of it, so that the guest can read it. */
	isMapped(address: Kaddr, size: number): boolean {
		const last = (address + size - 1) | 0;
		return last >= address && [address, last].every((at) => this.memory.permissions(at) !== 0);
	}

	/** The relocations of [address, address + size), also those that livepatch applies. `place`: the address that they patch. */
	relocationsIn(
		address: Kaddr,
		size: number,
	): { readonly place: Kaddr; readonly relocation: ElfRelocation; readonly section: ElfSection }[] {
		let index = lowerBound(this.#placed.length, (at) => this.#placed[at]!.address > address) - 1;
		while (index >= 0 && this.#placed[index]!.section.size === 0) index--;
		const part = this.#placed[index];
		if (part === undefined || size === 0) return [];
		const offset = (address - part.address) | 0;
		const all = this.#relocationsOf(part);
		const out = [];
		for (
			let i = lowerBound(all.length, (at) => all[at]!.offset >= offset);
			(all[i]?.offset ?? Infinity) < offset + size;
			i++
		) {
			const relocation = all[i]!;
			out.push({ place: (part.address + relocation.offset) | 0, relocation, section: part.section });
		}
		return out;
	}

	#relocationsOf({ object, section }: Placed): readonly ElfRelocation[] {
		let all = this.#relocations.get(section);
		if (all === undefined) {
			const late = object.klpRelocations.filter(({ target }) => target === section.index);
			all = [...section.relocations, ...late.flatMap(({ relocations }) => relocations)];
			all = all.toSorted((a, b) => a.offset - b.offset);
			this.#relocations.set(section, all);
		}
		return all;
	}
}

/** One entry of a table. */
export class TableEntry {
	readonly object: ElfObject;
	readonly section: ElfSection;
	/** Of the entry in its section. */
	readonly offset: number;
	readonly address: Kaddr;
	readonly #tables: Tables;

	constructor(tables: Tables, object: ElfObject, section: ElfSection, offset: number, address: Kaddr) {
		this.#tables = tables;
		this.object = object;
		this.section = section;
		this.offset = offset;
		this.address = address;
	}

	/** The address that the field at `offset` refers to: 32 bits, relative to the field. */
	relative(offset: number): Kaddr {
		const at = (this.address + offset) | 0;
		return (at + this.#tables.memory.i32(at)) | 0;
	}

	/** The same, for text of the image. Throws `ELF_BAD_TABLE` if the `size` bytes there are none. */
	text(offset: number, size: number): Kaddr {
		const address = this.relative(offset);
		if (!this.#tables.isText(address, size)) {
			this.fail(`0x${toU64(address).toString(16)}, ${size} bytes, is not in the text of the image`);
		}
		return address;
	}

	fail(reason: string, hint?: string): never {
		throw new KlpemuError(
			"ELF_BAD_TABLE",
			`section '${this.section.name}' offset 0x${this.offset.toString(16)}: ${reason}`,
			{ where: this.object.fileName, hint },
		);
	}
}
