import { formatPointer } from "./format-pointer.js";
import type { FormatSource } from "./format-source.js";

/** FIELD_WIDTH_MAX and PRECISION_MAX of lib/vsprintf.c. */
const FIELD_WIDTH_MAX = (1 << 23) - 1;
const PRECISION_MAX = (1 << 15) - 1;
/** Characters after which widths count no more: no buffer of a kernel is as long. */
const TEXT_MAX = 1 << 24;
const MAX_ERRNO = 4095n;

const CONVERSION = /%([-0+ #]*)(\d+|\*)?(?:\.(\d+|\*)?)?(hh|h|ll|l|L|z|t)?([diuxXocs%]|p[A-Za-z0-9]*)/g;

/**
 * vsnprintf() as kernel modules use it (lib/vsprintf.c, Documentation/core-api/printk-formats.rst): the integer conversions
 * with flags, width, precision and size, %c, %s, %% and the formats of {@link formatPointer}.
 */
export function format(template: string, source: FormatSource): string {
	let next = 0;
	let room = TEXT_MAX;
	const argument = () => source.argument(next++);
	return template.replace(CONVERSION, (_all, flags: string, w?: string, p?: string, size?: string, kind = "") => {
		if (kind === "%") return "%";
		const number = (text: string | undefined) =>
			text === "*" ? Number(BigInt.asIntN(32, argument())) : text === undefined ? undefined : Number(text);
		const wanted = number(w);
		const width = room <= 0 ? 0 : Math.max(-FIELD_WIDTH_MAX, Math.min(wanted ?? 0, FIELD_WIDTH_MAX));
		room -= Math.abs(width);
		const given = number(p);
		// A negative one is none.
		const precision = given === undefined || given < 0 ? undefined : Math.min(given, PRECISION_MAX);
		const value = argument();
		if (kind.startsWith("p")) {
			// The width of these is the length of what they show.
			const isLength = /^p[hb]/.test(kind);
			return pad(formatPointer(value, kind.slice(1), wanted, source, format), isLength ? 0 : width, flags, false);
		}
		if (kind === "s") {
			const text = value === 0n ? "(null)" : isBad(value) ? "(efault)" : source.string(value, precision);
			room -= text.length;
			return pad(precision === undefined ? text : text.slice(0, precision), width, flags, false);
		}
		if (kind === "c") return pad(String.fromCharCode(Number(value & 0xffn)), width, flags, false);
		return pad(atLeast(integer(value, bitsOf(size), kind, flags), precision), width, flags, true);
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

/** With a precision, a number has so many digits. */
function atLeast(text: string, precision = 0): string {
	const [, sign = "", digits = ""] = /^([-+ ]?(?:0[xX])?)(.*)$/.exec(text)!;
	return sign + digits.padStart(precision, "0");
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
