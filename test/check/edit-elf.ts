/** Changes what no compiler writes: names and flags of sections, and where symbols are. */

interface Header {
	name: string;
	type: number;
	/** The low 32 bits. */
	flags: number;
	readonly offset: number;
	readonly size: number;
	info: number;
}

export interface ElfEdit {
	readonly sections: readonly Header[];
	/** The section of this name; it must be there. */
	section(name: string): Header;
	/** Puts each symbol whose name begins so into a section, by its index: 0xff20 is SHN_LIVEPATCH. */
	moveSymbols(prefix: string, section: number): void;
	/** The contents of a section, to be changed in place. */
	data(name: string): Uint8Array;
}

/** A copy of an object with changes. */
export function editElf(original: Uint8Array, change: (elf: ElfEdit) => void): Uint8Array {
	const bytes = original.slice();
	const view = new DataView(bytes.buffer);
	const table = Number(view.getBigUint64(40, true));
	const count = view.getUint16(60, true);
	const strings = view.getUint16(62, true);
	const field = (index: number, offset: number): number => Number(view.getBigUint64(table + 64 * index + offset, true));
	const text = (start: number): string => new TextDecoder().decode(bytes.subarray(start, bytes.indexOf(0, start)));
	const sections = Array.from({ length: count }, (_, index): Header => {
		const at = table + 64 * index;
		return {
			name: text(field(strings, 24) + view.getUint32(at, true)),
			type: view.getUint32(at + 4, true),
			flags: view.getUint32(at + 8, true),
			offset: field(index, 24),
			size: field(index, 32),
			info: view.getUint32(at + 44, true),
		};
	});
	const section = (name: string): Header => {
		const found = sections.find((candidate) => candidate.name === name);
		if (found === undefined) throw new Error(`no section ${name} in ${sections.map((one) => one.name).join(" ")}`);
		return found;
	};
	change({
		sections,
		section,
		data: (name) => bytes.subarray(section(name).offset, section(name).offset + section(name).size),
		moveSymbols: (prefix, to) => {
			const { offset, size } = section(".symtab");
			for (let at = offset; at < offset + size; at += 24) {
				if (text(section(".strtab").offset + view.getUint32(at, true)).startsWith(prefix))
					view.setUint16(at + 6, to, true);
			}
		},
	});
	// The names come to the end of the file, as a new table.
	const names = new TextEncoder().encode(sections.map(({ name }) => `${name}\0`).join(""));
	const out = new Uint8Array(bytes.length + names.length);
	out.set(bytes);
	out.set(names, bytes.length);
	const end = new DataView(out.buffer);
	let name = 0;
	for (const [index, { type, flags, info, ...header }] of sections.entries()) {
		const at = table + 64 * index;
		end.setUint32(at, name, true);
		end.setUint32(at + 4, type, true);
		end.setUint32(at + 8, flags, true);
		end.setUint32(at + 44, info, true);
		name += new TextEncoder().encode(header.name).length + 1;
	}
	end.setBigUint64(table + 64 * strings + 24, BigInt(bytes.length), true);
	end.setBigUint64(table + 64 * strings + 32, BigInt(names.length), true);
	return out;
}
