import { KlpemuError } from "../base/index.js";

/** Bounds-checked little-endian reads. Every failure names the file, the part of it and the offset. */
export class Reader {
	readonly bytes: Uint8Array;
	readonly fileName: string;
	readonly #view: DataView;

	constructor(bytes: Uint8Array, fileName: string) {
		this.bytes = bytes;
		this.fileName = fileName;
		this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	}

	/** Throws `ELF_TRUNCATED` unless [offset, offset + size) lies in the file. */
	check(offset: number, size: number, what: string): void {
		if (offset < 0 || size < 0 || offset + size > this.bytes.length) {
			throw this.error(
				"ELF_TRUNCATED",
				`${what} needs bytes 0x${offset.toString(16)} to 0x${(offset + size).toString(16)}, but the file ends at 0x${this.bytes.length.toString(16)}`,
				"the file is cut short or damaged: build it again",
			);
		}
	}

	u8(offset: number, what: string): number {
		this.check(offset, 1, what);
		return this.#view.getUint8(offset);
	}
	u16(offset: number, what: string): number {
		this.check(offset, 2, what);
		return this.#view.getUint16(offset, true);
	}
	u32(offset: number, what: string): number {
		this.check(offset, 4, what);
		return this.#view.getUint32(offset, true);
	}
	i64(offset: number, what: string): bigint {
		this.check(offset, 8, what);
		return this.#view.getBigInt64(offset, true);
	}
	/** A 64-bit offset or size, as a number. A value that does not fit into 2^53 cannot lie in the file. */
	size(offset: number, what: string): number {
		this.check(offset, 8, what);
		const value = this.#view.getBigUint64(offset, true);
		if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
			throw this.error("ELF_TRUNCATED", `${what}: 0x${value.toString(16)} is beyond any file`);
		}
		return Number(value);
	}

	error(code: string, message: string, hint?: string): KlpemuError {
		return new KlpemuError(code, message, { where: this.fileName, hint });
	}
}

/** The longest name of a section or symbol in bytes; the kernel's have 511 (KSYM_NAME_LEN). Names may share bytes, so that each costs as much. */
export const MAX_NAME = 4096;
const LATIN1 = new TextDecoder("latin1");

/** The NUL-terminated string at `offset` of a string table; undefined if it is outside of the table or has no NUL. */
export function stringAt(table: Uint8Array, offset: number): string | undefined {
	if (offset >= table.length) return undefined;
	const rest = table.subarray(offset, offset + MAX_NAME + 1);
	const length = rest.indexOf(0);
	return length < 0 ? undefined : LATIN1.decode(rest.subarray(0, length));
}
