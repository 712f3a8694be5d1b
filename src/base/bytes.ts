const DIGITS: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Two hexadecimal digits per byte, without separators. */
export function bytesToHex(bytes: Uint8Array): string {
	let text = "";
	for (let i = 0; i < bytes.length; i++) text += DIGITS[bytes[i]!]!;
	return text;
}

/** The value of a hexadecimal digit by its character code: 0 to 9, a to f, A to F. */
function digit(code: number): number {
	return code < 0x3a ? code - 0x30 : (code | 0x20) - 0x57;
}

/** The inverse of the function above. The text must be an even number of hexadecimal digits. */
export function hexToBytes(hex: string): Uint8Array {
	const bytes = new Uint8Array(hex.length / 2);
	for (let i = 0; i < bytes.length; i++) {
		bytes[i] = (digit(hex.charCodeAt(2 * i)) << 4) | digit(hex.charCodeAt(2 * i + 1));
	}
	return bytes;
}

/** True if the bytes begin so. */
export function beginsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
	return magic.every((byte, index) => bytes[index] === byte);
}

/** The first bytes of an object, a module, vmlinux: e_ident of ELF. */
export const ELF_MAGIC: readonly number[] = [0x7f, 0x45, 0x4c, 0x46];
