import { KlpemuError } from "../../base/index.js";

/** One piece of a format: white space, `%*...`, a conversion, or text. */
const PIECE = /\s+|%\*[^\s%]*|%(\d+)?(hh|h|ll|l|L|z)?(?:([nscdiuoxX%])|\[(\^?)([^\]]+)\])|[^%\s]+/gy;

const BYTES: Readonly<Record<string, number>> = { hh: 1, h: 2, l: 8, ll: 8, L: 8, z: 8 };

/** Digits behind a sign, by conversion. `i` takes the base from the prefix. */
const DIGITS: Readonly<Record<string, RegExp>> = {
	d: /^-?\d+/,
	u: /^\d+/,
	o: /^[0-7]+/,
	x: /^(?:0[xX](?=[\da-fA-F]))?[\da-fA-F]+/,
	X: /^(?:0[xX](?=[\da-fA-F]))?[\da-fA-F]+/,
	i: /^-?(?:0[xX][\da-fA-F]+|0[0-7]*|[1-9]\d*)/,
};

/** What sscanf() stores. */
export interface Scanned {
	/** The bytes for each pointer behind the format, in order. */
	readonly stores: readonly Uint8Array[];
	/** Its result: the conversions that have matched. %n is none. */
	readonly count: number;
}

/**
 * vsscanf() of lib/vsprintf.c: %d %i %u %o %x with hh, h, l, ll, z; %s, %c, %[...], %n, %%, %*..., and widths. Throws `GUEST_FORMAT` for
 * anything else: the kernel ends there with what it has, without a word.
 */
export function vsscanf(text: string, template: string): Scanned {
	const reading: Reading = { text, at: 0, stores: [], count: 0 };
	let end = 0;
	for (const piece of template.matchAll(PIECE)) {
		end = piece.index + piece[0].length;
		if (!readPiece(reading, piece)) return reading;
	}
	if (end < template.length) throw unknown(template.slice(end));
	return reading;
}

interface Reading {
	readonly text: string;
	at: number;
	readonly stores: Uint8Array[];
	count: number;
}

/** False: the text does not go on as the format does. */
function readPiece(reading: Reading, [all, width, size, kind, not, set]: RegExpExecArray): boolean {
	if (kind !== undefined || set !== undefined) {
		const most = width === undefined ? undefined : Number(width);
		if (most === 0) return false;
		if (set !== undefined) return readSet(reading, all, set, not !== "", most);
		return readConversion(reading, kind!, size, most);
	}
	if (all.startsWith("%*")) {
		if (all.includes("[")) throw unknown(all);
		return take(reading, /^\S*/) !== "" || restOf(reading) !== "";
	}
	if (/^\s/.test(all)) take(reading, /^\s*/);
	else if (restOf(reading).startsWith(all)) reading.at += all.length;
	else return false;
	return true;
}

function readConversion(reading: Reading, kind: string, size: string | undefined, width: number | undefined): boolean {
	if (kind === "n") {
		reading.stores.push(little(BigInt(reading.at), 4));
		return true;
	}
	if (restOf(reading) === "") return false;
	if (kind === "%") return take(reading, /^%/) !== "";
	if (kind === "c") return matched(reading, bytesOf(take(reading, /^.*/s, width ?? 1)));
	take(reading, /^\s*/);
	if (kind === "s") return matched(reading, bytesOf(`${take(reading, /^\S*/, width)}\0`));
	const digits = take(reading, DIGITS[kind]!, width);
	// A width may end behind the sign.
	if (!/[\da-fA-F]$/.test(digits)) return false;
	return matched(reading, little(numberOf(digits, kind), size === undefined ? 4 : BYTES[size]!));
}

/** %[...]: the kernel's needs a width, and knows no ranges. */
function readSet(
	reading: Reading,
	conversion: string,
	set: string,
	negated: boolean,
	width: number | undefined,
): boolean {
	if (width === undefined) throw unknown(conversion, "the kernel's needs a width");
	const taken = [...restOf(reading)].slice(0, width);
	const end = taken.findIndex((char) => set.includes(char) === negated);
	const found = taken.slice(0, end < 0 ? taken.length : end).join("");
	if (found === "") return false;
	reading.at += found.length;
	return matched(reading, bytesOf(`${found}\0`));
}

function restOf({ text, at }: Reading): string {
	return text.slice(at);
}

function matched(reading: Reading, bytes: Uint8Array): true {
	reading.stores.push(bytes);
	reading.count++;
	return true;
}

function take(reading: Reading, pattern: RegExp, width?: number): string {
	const rest = restOf(reading);
	const [found = ""] = pattern.exec(width === undefined ? rest : rest.slice(0, width)) ?? [];
	reading.at += found.length;
	return found;
}

function unknown(conversion: string, why = "the kernel has no such conversion"): KlpemuError {
	return new KlpemuError("GUEST_FORMAT", `sscanf(): the format has '${conversion.slice(0, 20)}'`, { hint: why });
}

function numberOf(digits: string, kind: string): bigint {
	const negative = digits.startsWith("-");
	const text = negative ? digits.slice(1) : digits;
	const hex = /^0x/i.test(text);
	const octal = kind === "o" || (kind === "i" && /^0\d/.test(text));
	const prefix = hex ? "" : octal ? "0o" : /x/i.test(kind) ? "0x" : "";
	const value = BigInt(prefix + text);
	return negative ? -value : value;
}

function bytesOf(text: string): Uint8Array {
	return new TextEncoder().encode(text);
}

function little(value: bigint, bytes: number): Uint8Array {
	return Uint8Array.from({ length: bytes }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}
