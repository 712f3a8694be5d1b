/** Data that a format reads besides its numbers. */
export interface FormatSource {
	/** The argument of this number, from 0; integers and pointers, as the ABI passes them. */
	argument(index: number): bigint;
	/** The text that a %s points to, or so many bytes of it. */
	string(address: bigint, most: number | undefined): string;
	/** `funcA+0x4/0x20` for %pS and %pB; with `bare`, `funcA` for %ps. */
	symbol(address: bigint, bare: boolean): string;
	/** The 32-bit word at an address, for %pGg. */
	u32(address: bigint): number;
}

/** FIELD_WIDTH_MAX and PRECISION_MAX of lib/vsprintf.c. */
const FIELD_WIDTH_MAX = (1 << 23) - 1;
const PRECISION_MAX = (1 << 15) - 1;
/** Characters after which widths count no more: no buffer of a kernel is as long. */
const TEXT_MAX = 1 << 24;
const MAX_ERRNO = 4095n;

const CONVERSION = /%([-0+ #]*)(\d+|\*)?(?:\.(\d+|\*)?)?(hh|h|ll|l|z|t)?([diuxXocs%]|p[A-Za-z0-9]*)/g;

/**
 * vsnprintf() as kernel modules use it (lib/vsprintf.c, Documentation/core-api/printk-formats.rst): the integer conversions
 * with flags, width, precision and size, %c, %s, %p, %px, %pS, %ps, %pB, %pGg and %%. Other pointer formats print the address.
 */
export function format(template: string, source: FormatSource): string {
	let next = 0;
	let room = TEXT_MAX;
	const argument = () => source.argument(next++);
	return template.replace(CONVERSION, (_all, flags: string, w?: string, p?: string, size?: string, kind = "") => {
		if (kind === "%") return "%";
		const number = (text: string | undefined) =>
			text === "*" ? Number(BigInt.asIntN(32, argument())) : text === undefined ? undefined : Number(text);
		const wanted = number(w) ?? 0;
		const width = room <= 0 ? 0 : Math.max(-FIELD_WIDTH_MAX, Math.min(wanted, FIELD_WIDTH_MAX));
		room -= Math.abs(width);
		const given = number(p);
		// A negative one is none.
		const precision = given === undefined || given < 0 ? undefined : Math.min(given, PRECISION_MAX);
		const value = argument();
		if (kind.startsWith("p")) return pad(pointer(value, kind.slice(1), source), width, flags, false);
		if (kind === "s") {
			const text = value === 0n ? "(null)" : isBad(value) ? "(efault)" : source.string(value, precision);
			room -= text.length;
			return pad(precision === undefined ? text : text.slice(0, precision), width, flags, false);
		}
		if (kind === "c") return pad(String.fromCharCode(Number(value & 0xffn)), width, flags, false);
		return pad(integer(value, bitsOf(size), kind, flags), width, flags, true);
	});
}

/** check_pointer_msg(): in the first page, or an error number. */
function isBad(pointer: bigint): boolean {
	const value = BigInt.asUintN(64, pointer);
	return value < 4096n || value >= (1n << 64n) - MAX_ERRNO;
}

function bitsOf(size: string | undefined): number {
	return size === "hh" ? 8 : size === "h" ? 16 : size === undefined ? 32 : 64;
}

function pad(text: string, width: number, flags: string, zeros: boolean): string {
	if (flags.includes("-") || width < 0) return text.padEnd(Math.abs(width));
	if (!zeros || !flags.includes("0")) return text.padStart(width);
	const [, sign = "", digits = ""] = /^([-+ ]?(?:0[xX])?)(.*)$/.exec(text)!;
	return sign + digits.padStart(width - sign.length, "0");
}

function integer(value: bigint, bits: number, kind: string, flags: string): string {
	const unsigned = BigInt.asUintN(bits, value);
	switch (kind) {
		case "u":
			return unsigned.toString();
		case "x":
			return (flags.includes("#") ? "0x" : "") + unsigned.toString(16);
		case "X":
			return (flags.includes("#") ? "0X" : "") + unsigned.toString(16).toUpperCase();
		case "o":
			return (flags.includes("#") ? "0" : "") + unsigned.toString(8);
		default: {
			const signed = BigInt.asIntN(bits, value);
			return (signed >= 0n ? (flags.includes("+") ? "+" : flags.includes(" ") ? " " : "") : "") + signed.toString();
		}
	}
}

/**
 * The kernel hashes the address for %p. Here the text is the address itself, the same in each run, so that a user can
 * look it up.
 */
function pointer(value: bigint, kind: string, source: FormatSource): string {
	if (/^[SB]/.test(kind)) return source.symbol(value, false);
	if (kind.startsWith("s")) return source.symbol(value, true);
	if (kind.startsWith("Gg")) return gfpNames(source.u32(value));
	return BigInt.asUintN(64, value).toString(16).padStart(16, "0");
}

/** The larger combinations first, as in include/trace/events/mmflags.h. */
const GFP_NAMES: readonly [string, number][] = [
	["GFP_KERNEL", 0xcc0],
	["GFP_NOWAIT", 0x2800],
	["GFP_ATOMIC", 0x820],
	["__GFP_HIGH", 0x20],
	["__GFP_IO", 0x40],
	["__GFP_FS", 0x80],
	["__GFP_ZERO", 0x100],
	["__GFP_DIRECT_RECLAIM", 0x400],
	["__GFP_KSWAPD_RECLAIM", 0x800],
	["__GFP_NOWARN", 0x2000],
];

function gfpNames(flags: number): string {
	const parts: string[] = [];
	let rest = flags;
	for (const [name, mask] of GFP_NAMES) {
		if ((rest & mask) !== mask) continue;
		parts.push(name);
		rest &= ~mask;
	}
	if (rest !== 0 || parts.length === 0) parts.push(`0x${rest.toString(16)}`);
	return parts.join("|");
}
