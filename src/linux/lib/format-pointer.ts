import { errnoName } from "./errno.js";
import { type FormatSource, vaList } from "./format-source.js";

/** Separators of %*ph. */
const SEPARATORS: Readonly<Record<string, string>> = { C: ":", D: "-", N: "" };
/** Longest buffer that %*ph shows. */
const HEX_MAX = 64;
/** Most bits that %*pb shows: those of a struct cpumask of the largest kernels. */
const BITS_MAX = 8192;
/** Formats of pointers that are known and not made here: what they show lies in structures of the kernel. */
const NOT_MADE = /^[rRDdgtCOfA]/;

/**
 * %p with the letters behind it (Documentation/core-api/printk-formats.rst). `width`: that of the format; `format`: for what is
 * nested. Other letters print the address:
 * the kernel hashes it; here it is the address itself, the same in each run, so that a user can look it up.
 */
export function formatPointer(
	value: bigint,
	kind: string,
	width: number | undefined,
	source: FormatSource,
	format: (template: string, source: FormatSource) => string,
): string {
	const address = BigInt.asUintN(64, value);
	const plain = address.toString(16).padStart(16, "0");
	if (/^[SB]/.test(kind)) return source.symbol(value, false);
	if (kind.startsWith("s")) return source.symbol(value, true);
	if (kind.startsWith("e")) return isError(address) ? errnoName(Number(BigInt.asIntN(64, value))) : plain;
	if (!/^[hbMmIiUVaG]/.test(kind)) return NOT_MADE.test(kind) ? `<%p${kind} ${plain}>` : plain;
	if (address === 0n) return "(null)";
	if (isError(address) || address < 4096n) return "(efault)";
	switch (kind[0]) {
		case "h":
			if (width === 0) return "";
			return hexBytes(
				source.bytes(address, Math.min(Math.max(width ?? 1, 1), HEX_MAX)),
				SEPARATORS[kind[1] ?? ""] ?? " ",
			);
		case "b": {
			const bits = Math.min(Math.max(width ?? 0, 0), BITS_MAX);
			return kind[1] === "l" ? bitList(source, address, bits) : bitmap(source, address, bits);
		}
		case "M":
		case "m": {
			const bytes = source.bytes(address, 6);
			if (kind[1] === "R") bytes.reverse();
			return hexBytes(bytes, kind[0] === "m" ? "" : kind[1] === "F" ? "-" : ":");
		}
		case "I":
		case "i":
			return kind[1] === "4" ? ipv4(source.bytes(address, 4), kind) : `<%p${kind} ${plain}>`;
		case "U":
			return uuid(source.bytes(address, 16), kind[1] ?? "b");
		case "V": {
			const [template, list] = [0, 8].map((offset) => little(source.bytes(address + BigInt(offset), 8)));
			return format(source.string(template!, undefined), vaList(list!, source));
		}
		case "a":
			return `0x${little(source.bytes(address, 8)).toString(16).padStart(16, "0")}`;
		default:
			return kind.startsWith("Gg") ? gfpNames(Number(little(source.bytes(address, 4)))) : `<%p${kind} ${plain}>`;
	}
}

const isError = (address: bigint) => address >= (1n << 64n) - 4095n;

function little(bytes: Uint8Array): bigint {
	return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

const hexByte = (byte: number) => byte.toString(16).padStart(2, "0");

function hexBytes(bytes: Uint8Array, separator: string): string {
	return Array.from(bytes, hexByte).join(separator);
}

/** The lowest `bits` bits of a bitmap. */
function bitsAt(source: FormatSource, address: bigint, bits: number): bigint {
	return little(source.bytes(address, Math.ceil(bits / 64) * 8)) & ((1n << BigInt(bits)) - 1n);
}

/** %*pb: groups of 32 bits. */
function bitmap(source: FormatSource, address: bigint, bits: number): string {
	const digits = bitsAt(source, address, bits)
		.toString(16)
		.padStart(Math.ceil(bits / 4), "0");
	return digits.replace(/(?!^)(?=(?:.{8})+$)/g, ",");
}

/** %*pbl: `0,4-7`. */
function bitList(source: FormatSource, address: bigint, width: number): string {
	const bits = bitsAt(source, address, width);
	const parts: string[] = [];
	for (let first = 0; first < width; first++) {
		const isSet = (bit: number) => ((bits >> BigInt(bit)) & 1n) !== 0n;
		if (!isSet(first)) continue;
		let last = first;
		while (last + 1 < width && isSet(last + 1)) last++;
		parts.push(last === first ? `${first}` : `${first}-${last}`);
		first = last;
	}
	return parts.join(",");
}

/** %pI4 1.2.3.4, %pi4 001.002.003.004; h and l: of a number of the machine. */
function ipv4(bytes: Uint8Array, kind: string): string {
	const ordered = /[hl]/.test(kind[2] ?? "") ? bytes.toReversed() : bytes;
	return Array.from(ordered, (byte) => (kind[0] === "i" ? `${byte}`.padStart(3, "0") : `${byte}`)).join(".");
}

/** %pUb, %pUB; %pUl, %pUL: the first three numbers are little-endian. */
function uuid(bytes: Uint8Array, kind: string): string {
	const order = /l/i.test(kind) ? [3, 2, 1, 0, 5, 4, 7, 6] : [0, 1, 2, 3, 4, 5, 6, 7];
	const text = [...order, 8, 9, 10, 11, 12, 13, 14, 15].map((index) => hexByte(bytes[index]!)).join("");
	const parted = text.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
	return /[BL]/.test(kind) ? parted.toUpperCase() : parted;
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
