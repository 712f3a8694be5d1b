import { KlpemuError } from "../base/index.js";
import type { Kaddr, Memory } from "../memory/index.js";
import { SHF } from "./parse.js";
import { isPcRelative, relocationName } from "./relocate.js";
import type { ElfObject, ElfRelocation, ElfSection, ImageSymbol, PerCpuRoom, PerCpuVariables } from "./types.js";

/** True for the sections of DEFINE_PER_CPU() (include/linux/percpu-defs.h): `.data..percpu`, and those of its variants. */
export function isPerCpu({ name, flags }: Pick<ElfSection, "name" | "flags">): boolean {
	return (flags & SHF.ALLOC) !== 0 && (name === ".data..percpu" || name.startsWith(".data..percpu.."));
}

/**
 * Where the per-CPU variables of an image are: their symbols are offsets in each CPU's area, and their initial values lie in the image, as
 * one block in the order of the offsets. The host copies this block.
 */
export class PerCpuLayout {
	readonly #room: PerCpuRoom | undefined;
	readonly #offsets = new Map<ElfObject, Map<number, number>>();
	readonly #taken: { readonly offset: number; readonly data: Uint8Array; readonly place: (at: Kaddr) => void }[] = [];
	#end: number;
	/** Where the initial values are. */
	#address: Kaddr = 0;

	constructor(room: PerCpuRoom | undefined) {
		this.#room = room;
		this.#end = room?.offset ?? 0;
	}

	/** Takes a section of per-CPU variables; false for others. Throws `ELF_NO_SPACE`. */
	take(object: ElfObject, section: ElfSection, place: (address: Kaddr) => void): boolean {
		if (this.#room === undefined || !isPerCpu(section)) return false;
		const offset = Math.ceil(this.#end / section.align) * section.align;
		if (offset + section.size > this.#room.end) {
			throw new KlpemuError(
				"ELF_NO_SPACE",
				`section '${section.name}' (${section.size} bytes) does not fit into the per-CPU area: 0x${offset.toString(16)} to 0x${this.#room.end.toString(16)} of it are free`,
				{ where: object.fileName },
			);
		}
		const own = this.#offsets.get(object) ?? new Map<number, number>();
		this.#offsets.set(object, own.set(section.index, offset));
		this.#taken.push({ offset, data: section.data, place });
		this.#end = offset + section.size;
		return true;
	}

	/** The block of initial values. */
	part(): { size: number; align: number; data: Uint8Array; place: (address: Kaddr) => void } {
		const start = this.#room?.offset ?? 0;
		const data = new Uint8Array(this.#end - start);
		for (const section of this.#taken) data.set(section.data, section.offset - start);
		const place = (address: Kaddr): void => {
			this.#address = address;
			for (const section of this.#taken) section.place((address + section.offset - start) | 0);
		};
		return { size: data.length, align: 8, data, place };
	}

	/** Offset of a section in each CPU's area; undefined: it has no per-CPU variables. */
	offsetOf(object: ElfObject, section: number): number | undefined {
		return this.#offsets.get(object)?.get(section);
	}

	/** Throws `ELF_BAD_RELOCATION` for a value that would have to be another one in each copy. */
	checkRelocation(object: ElfObject, section: ElfSection, { type, offset, symbol }: ElfRelocation): void {
		if (!isPcRelative(type) || this.offsetOf(object, section.index) === undefined) return;
		throw new KlpemuError(
			"ELF_BAD_RELOCATION",
			`section '${section.name}' offset 0x${offset.toString(16)}: ${relocationName(type)} to '${symbol.name}' cannot be in a per-CPU variable, which each CPU has at another address`,
			{ where: object.fileName },
		);
	}

	/** Throws `ELF_SPECIAL_SECTION` for livepatch relocations of per-CPU variables: the copies are made before they are applied. */
	checkKlpRelocations(object: ElfObject, name: string, section: number): void {
		if (this.offsetOf(object, section) === undefined) return;
		throw new KlpemuError(
			"ELF_SPECIAL_SECTION",
			`section '${name}' (livepatch relocations of per-CPU variables) is not supported`,
			{ where: object.fileName, hint: "set the variable in a callback" },
		);
	}

	/** After the relocations are applied. */
	variables(memory: Memory, symbols: readonly ImageSymbol[]): PerCpuVariables | undefined {
		if (this.#room === undefined || this.#taken.length === 0) return undefined;
		const { offset } = this.#room;
		return { offset, data: memory.read(this.#address, this.#end - offset), symbols };
	}
}
