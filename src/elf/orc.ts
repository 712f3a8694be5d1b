import { KlpemuError, lowerBound } from "../base/index.js";
import { hex, type Kaddr, type Memory } from "../memory/index.js";
import { orcRow } from "./orc-entry.js";
import { SHF } from "./parse.js";
import type { ElfObject, ElfSection, UnwindRow } from "./types.js";

/** A section in guest memory, relocated. */
interface Placed {
	readonly object: ElfObject;
	readonly section: ElfSection;
	readonly address: Kaddr;
}

const IP_SIZE = 4;
const ENTRY_SIZE = 6;

/**
 * ORC_HASH (scripts/orc_hash.sh) of the form of struct orc_entry that kernels have had since 6.4. A module has it in `.orc_header`;
 * an object that is no module yet has no such section.
 */
const KNOWN_FORM = "fe5d32bf581bd63b2ca9a5c65ba5a625eab3fe24";

/** Text that has ORC entries: [start, end). */
interface Range {
	readonly start: Kaddr;
	readonly end: Kaddr;
}

/**
 * The unwind tables of the kernel's own objects: `.orc_unwind_ip` has the addresses, `.orc_unwind` an entry for each, which is valid up to
 * the next address (Documentation/arch/x86/orc-unwinder.rst).
 *
 * They are sorted as the kernel sorts those of a module (orc_sort_cmp(), arch/x86/kernel/unwind_orc.c). Throws `ELF_BAD_ORC` with object,
 * section and offset.
 */
export class OrcTable {
	/** Text of the objects that have ORC, by address. */
	readonly #ranges: Range[] = [];
	/** Addresses, ascending; and the row that begins at each. */
	readonly #ips: Int32Array;
	readonly #rows: (UnwindRow | undefined)[];

	constructor(memory: Memory, placed: readonly Placed[]) {
		const byObject = new Map<ElfObject, { ips: Placed[]; entries: Placed[]; text: Range[] }>();
		for (const part of placed) {
			const own = byObject.get(part.object) ?? { ips: [], entries: [], text: [] };
			byObject.set(part.object, own);
			const { name, flags, size } = part.section;
			if (name === ".orc_unwind_ip") own.ips.push(part);
			else if (name === ".orc_unwind") own.entries.push(part);
			else if (name === ".orc_header") checkHeader(part);
			else if ((flags & SHF.EXECINSTR) !== 0) own.text.push({ start: part.address, end: (part.address + size) | 0 });
		}
		const found: { ip: Kaddr; row: UnwindRow | undefined }[] = [];
		for (const [object, { ips, entries, text }] of byObject) {
			if (ips.length === 0 && entries.length === 0) continue;
			const reader = new Reader(memory, object, ips, entries, text);
			for (let index = 0; index < reader.count; index++) found.push(reader.at(index));
			this.#ranges.push(...text);
		}
		// The last entry of a section ("undefined", at the section's end) comes before the first entry of the next section.
		found.sort((a, b) => a.ip - b.ip || Number(a.row !== undefined) - Number(b.row !== undefined));
		this.#ranges.sort((a, b) => a.start - b.start);
		this.#ips = Int32Array.from(found, ({ ip }) => ip);
		this.#rows = found.map(({ row }) => row);
	}

	/** True if `ip` is in an object that has ORC: its entries, or their absence, are valid then, and no other table. */
	covers(ip: Kaddr): boolean {
		return this.#rangeOf(ip) !== undefined;
	}

	/** The row for the instruction at `ip`; undefined if the entry says that the stack cannot be walked from there. */
	findRow(ip: Kaddr): UnwindRow | undefined {
		const index = lastAtOrBefore(this.#ips.length, (at) => this.#ips[at]!, ip);
		const range = this.#rangeOf(ip);
		return range === undefined || index < 0 || this.#ips[index]! < range.start ? undefined : this.#rows[index];
	}

	#rangeOf(ip: Kaddr): Range | undefined {
		return rangeOf(this.#ranges, ip, false);
	}
}

/** The range that `ip` is in; `orEnd`: or at whose end it is. */
function rangeOf(ranges: readonly Range[], ip: Kaddr, orEnd: boolean): Range | undefined {
	const index = lastAtOrBefore(ranges.length, (at) => ranges[at]!.start, ip);
	// An empty section may begin at the same address as the one that `ip` is in.
	for (let at = index; at >= 0; at--) {
		const range = ranges[at]!;
		if (ip < range.end || (orEnd && ip === range.end)) return range;
		if (range.end > range.start) break;
	}
	return undefined;
}

function lastAtOrBefore(count: number, value: (index: number) => number, limit: number): number {
	return lowerBound(count, (index) => value(index) > limit) - 1;
}

/** The two sections of one object. */
class Reader {
	readonly #memory: Memory;
	readonly #object: ElfObject;
	readonly #ips: Placed | undefined;
	readonly #entries: Placed | undefined;
	readonly #text: readonly Range[];
	/** Rows by the value of the entry: there are few different ones. */
	readonly #known = new Map<number, UnwindRow | undefined>();
	readonly count: number;

	constructor(
		memory: Memory,
		object: ElfObject,
		ips: readonly Placed[],
		entries: readonly Placed[],
		text: readonly Range[],
	) {
		this.#memory = memory;
		this.#object = object;
		[this.#ips] = ips;
		[this.#entries] = entries;
		this.#text = text.toSorted((a, b) => a.start - b.start);
		if (ips.length > 1 || entries.length > 1) this.#fail("there are two of them", ".orc_unwind");
		const ipSize = this.#ips?.section.size ?? 0;
		const entrySize = this.#entries?.section.size ?? 0;
		this.count = ipSize / IP_SIZE;
		// unwind_module_init() warns of such tables, and does not use them.
		if (ipSize % IP_SIZE !== 0 || entrySize % ENTRY_SIZE !== 0 || this.count !== entrySize / ENTRY_SIZE) {
			this.#fail(
				`${entrySize} bytes, and .orc_unwind_ip ${ipSize}: not the same number of entries of ${ENTRY_SIZE} and ${IP_SIZE} bytes`,
				".orc_unwind",
			);
		}
	}

	at(index: number): { ip: Kaddr; row: UnwindRow | undefined } {
		const at = (this.#ips!.address + IP_SIZE * index) | 0;
		const ip = (at + this.#memory.i32(at)) | 0;
		if (rangeOf(this.#text, ip, true) === undefined) {
			this.#fail(`${hex(ip)} is not in the text of the object`, ".orc_unwind_ip", IP_SIZE * index);
		}
		return { ip, row: this.#row(ENTRY_SIZE * index) };
	}

	#row(offset: number): UnwindRow | undefined {
		const at = (this.#entries!.address + offset) | 0;
		const offsets = this.#memory.u32(at);
		const bits = this.#memory.u8((at + 4) | 0) | (this.#memory.u8((at + 5) | 0) << 8);
		const key = offsets * 0x10000 + bits;
		if (!this.#known.has(key)) {
			const row = orcRow({ spOffset: (offsets << 16) >> 16, bpOffset: offsets >> 16, bits });
			if (typeof row === "string") this.#fail(row, ".orc_unwind", offset);
			else this.#known.set(key, row);
		}
		return this.#known.get(key);
	}

	#fail(reason: string, section: string, offset?: number): void {
		throw bad(this.#object, section, offset, reason);
	}
}

function bad(object: ElfObject, section: string, offset: number | undefined, reason: string): KlpemuError {
	const at = offset === undefined ? "" : ` offset 0x${offset.toString(16)}`;
	return new KlpemuError("ELF_BAD_ORC", `section '${section}'${at}: ${reason}`, {
		where: object.fileName,
		hint: "objtool makes these sections: build the object again",
	});
}

function checkHeader({ object, section }: Placed): void {
	const form = [...section.data.subarray(0, 32)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
	if (form === KNOWN_FORM) return;
	throw new KlpemuError(
		"ELF_BAD_ORC",
		`section '${section.name}': ORC entries of the form ${form}; only ${KNOWN_FORM} is known`,
		{ where: object.fileName, hint: "build it for a kernel from 6.4 on" },
	);
}
