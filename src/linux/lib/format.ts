import { formatPointer } from "./format-pointer.js";

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
			return pad(formatPointer(value, kind.slice(1), wanted, source), isLength ? 0 : width, flags, false);
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
