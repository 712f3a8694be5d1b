import { KlpemuError } from "../base/index.js";

/** A section in one of DWARF's encodings. */
export interface DwarfSection {
	readonly name: string;
	/** The file of the object that has it. */
	readonly object: string;
	readonly data: Uint8Array;
	/** Of the error for a value that does not fit. */
	readonly code: string;
	readonly hint: string;
}

/** Reads DWARF's encodings from a part of a section. Throws the section's error for a value that does not fit. */
export class DwarfReader {
	at: number;
	readonly end: number;
	readonly #section: DwarfSection;
	readonly #data: Uint8Array;

	constructor(section: DwarfSection, start = 0, end = section.data.length) {
		this.#section = section;
		this.#data = section.data;
		this.at = start;
		this.end = end;
	}

	within(start: number, end: number): DwarfReader {
		return new DwarfReader(this.#section, start, end);
	}

	/** A reader for bytes that came from this section. */
	over(data: Uint8Array): DwarfReader {
		return new DwarfReader({ ...this.#section, data });
	}

	fail(message: string): never {
		const { name, object, code, hint } = this.#section;
		const reason = `section '${name}' offset 0x${this.at.toString(16)}: ${message}`;
		throw new KlpemuError(code, reason, { where: object, hint });
	}

	u8(): number {
		if (this.at >= this.end) this.fail("the entry ends in the middle of a value");
		return this.#data[this.at++]!;
	}
	u16(): number {
		return this.u8() | (this.u8() << 8);
	}
	u32(): number {
		return (this.u16() | (this.u16() << 16)) >>> 0;
	}
	u64(): bigint {
		const low = BigInt(this.u32());
		return low | (BigInt(this.u32()) << 32n);
	}

	uleb(): number {
		let value = 0;
		for (let shift = 0; ; shift += 7) {
			const byte = this.u8();
			if (shift > 42) this.fail("a LEB128 number that is too long");
			value += (byte & 0x7f) * 2 ** shift;
			if (byte < 0x80) return value;
		}
	}

	sleb(): number {
		let value = 0;
		for (let shift = 0; ; shift += 7) {
			const byte = this.u8();
			if (shift > 42) this.fail("a LEB128 number that is too long");
			value += (byte & 0x7f) * 2 ** shift;
			if (byte < 0x80) return (byte & 0x40) !== 0 ? value - 2 ** (shift + 7) : value;
		}
	}

	string(): string {
		let text = "";
		for (let byte = this.u8(); byte !== 0; byte = this.u8()) text += String.fromCharCode(byte);
		return text;
	}

	rest(): Uint8Array {
		const bytes = this.#data.subarray(this.at, this.end);
		this.at = this.end;
		return bytes;
	}

	skip(size: number): void {
		if (this.at + size > this.end) this.fail("the entry ends in the middle of a value");
		this.at += size;
	}
}
