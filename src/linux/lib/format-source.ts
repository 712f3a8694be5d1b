/** Data that a format reads besides its numbers. */
export interface FormatSource {
	/** The argument of this number, from 0; integers and pointers, as the ABI passes them. */
	argument(index: number): bigint;
	/** The text that a %s points to, or so many bytes of it. */
	string(address: bigint, most: number | undefined): string;
	/** `funcA+0x4/0x20` for %pS and %pB; with `bare`, `funcA` for %ps. */
	symbol(address: bigint, bare: boolean): string;
	/** Bytes at an address, for %*ph and its like. */
	bytes(address: bigint, length: number): Uint8Array;
}

/** The arguments of a va_list (System V ABI, "The va_list type"): registers that are saved, then the stack. */
export function vaList(list: bigint, source: FormatSource): FormatSource {
	const word = (at: bigint) => new DataView(source.bytes(at, 8).slice().buffer).getBigUint64(0, true);
	return {
		...source,
		argument(index) {
			const offset = (word(list) & 0xffff_ffffn) + BigInt(8 * index);
			if (offset < 48n) return word(word(list + 16n) + offset);
			const inRegisters = (48n - (word(list) & 0xffff_ffffn)) / 8n;
			return word(word(list + 8n) + 8n * (BigInt(index) - inRegisters));
		},
	};
}
