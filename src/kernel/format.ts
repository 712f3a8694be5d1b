/**
 * printf as kernel modules use it (lib/vsprintf.c): %d %i %u %x %X %o with l, ll, h, z, %c, %s, %p and %%, width and padding.
 * `string` reads what %s points to. What is missing in `args` prints as it would read: 0.
 */
export function format(template: string, args: readonly bigint[], string: (address: bigint) => string): string {
	let next = 0;
	const pattern = /%([-0+ #]*)(\d*)(?:\.\d+)?(hh|h|ll|l|z)?([diuxXocsp%])/g;
	return template.replace(pattern, (_all, flags: string, width: string, size: string | undefined, kind: string) => {
		if (kind === "%") return "%";
		const value = args[next++] ?? 0n;
		const text = one(value, size?.startsWith("l") || size === "z" ? 64 : 32, kind, flags, string);
		if (flags.includes("-")) return text.padEnd(Number(width));
		return text.padStart(Number(width), flags.includes("0") && kind !== "s" ? "0" : " ");
	});
}

function one(value: bigint, bits: number, kind: string, flags: string, string: (address: bigint) => string): string {
	const unsigned = BigInt.asUintN(bits, value);
	switch (kind) {
		case "d":
		case "i":
			return BigInt.asIntN(bits, value).toString();
		case "u":
			return unsigned.toString();
		case "x":
			return (flags.includes("#") ? "0x" : "") + unsigned.toString(16);
		case "X":
			return (flags.includes("#") ? "0X" : "") + unsigned.toString(16).toUpperCase();
		case "o":
			return unsigned.toString(8);
		case "c":
			return String.fromCharCode(Number(value & 0xffn));
		case "s":
			return value === 0n ? "(null)" : string(value);
		default:
			return BigInt.asUintN(64, value).toString(16).padStart(16, "0");
	}
}
