import { KlpemuError } from "../../base/index.js";
import { hex, isKaddr, type Kaddr, type Memory, toKaddr } from "../../memory/index.js";
import { AREA, SITE } from "./area.js";

export const SITE_BYTES = 5;

/** The fentry sites. Translated code reads the bytes of a site, nop or call, from one word of data. */
export class CallSites {
	readonly #memory: Memory;
	readonly #cells = new Map<Kaddr, number>();
	readonly #free: number[] = [];
	#next = 0;

	constructor(memory: Memory) {
		this.#memory = memory;
	}

	cell(address: Kaddr): number | undefined {
		return this.#cells.get(address);
	}

	/** Throws `TOO_MANY_CALL_SITES`. Returns false if the address is a site already. */
	add(address: Kaddr): boolean {
		if (this.#cells.has(address)) return false;
		const cell = this.#free.pop() ?? this.#next++;
		if (cell >= AREA.siteCount)
			throw new KlpemuError("TOO_MANY_CALL_SITES", `no room for the call site at ${hex(address)}`);
		this.#cells.set(address, cell);
		this.#refresh(address, cell);
		return true;
	}

	remove(address: Kaddr): boolean {
		const cell = this.#cells.get(address);
		if (cell === undefined) return false;
		this.#cells.delete(address);
		this.#free.push(cell);
		return true;
	}

	/** Reads the sites that the range touches again. Returns true if the range lies within a single one. */
	changed(start: bigint, length: number): boolean {
		if (!isKaddr(start) || length > 4096) {
			for (const [address, cell] of this.#cells) this.#refresh(address, cell);
			return false;
		}
		const first = toKaddr(start);
		const end = first + length;
		let within = false;
		const visit = (address: Kaddr, cell: number) => {
			this.#refresh(address, cell);
			within ||= address <= first && end <= address + SITE_BYTES;
		};
		if (length > this.#cells.size) {
			for (const [address, cell] of this.#cells)
				if (address > first - SITE_BYTES && address < end) visit(address, cell);
			return within;
		}
		for (let address = first - SITE_BYTES + 1; address < end; address++) {
			const cell = this.#cells.get(address);
			if (cell !== undefined) visit(address, cell);
		}
		return within;
	}

	#refresh(address: Kaddr, cell: number): void {
		this.#memory.view.setInt32(AREA.sites + 4 * cell, this.#read(address), true);
	}

	#read(address: Kaddr): number {
		const memory = this.#memory;
		for (let i = 0; i < SITE_BYTES; i++) if (memory.permissions((address + i) | 0) === 0) return SITE.other;
		const first = memory.u8(address);
		const tail = memory.i32((address + 1) | 0);
		if (first === 0x0f && tail === 0x0000441f) return SITE.nop;
		if (first !== 0xe8) return SITE.other;
		const target = address + SITE_BYTES + tail;
		// A target below the window is not a cell value; the site is then run as an ordinary instruction.
		return target < 0 && target >= -0x80000000 ? target : SITE.other;
	}
}
