import type { Random } from "../conformance/random.js";

/** Seconds of processor time: what is bounded takes milliseconds, on any machine less than this; what is not, hours. */
export const UNBOUNDED = 120;

/** Values that parsers trip over: signs, widths, ends of ranges. */
const NUMBERS = [
	"0",
	"-1",
	"1",
	"65536",
	"2147483648",
	"4294967295",
	"18446744073709551616",
	"1e9",
	"0x",
	"1.5",
	"NaN",
];
/** Text that means something in YAML, JSON or a schedule. */
const PIECES = [
	...["{", "}", "[", "]", ":", ",", "- ", "#", "\n", "\r", "\0", '"', "'", "&a ", "*a", "<<: *a", "!!js ", "|", ">"],
	...["null", "true", "~", "  ", "\t", "\u2028", "\ud800", "\u001b[2J", "constructor", "__proto__", "..", "/dev/zero"],
];

/** A text with some mistakes in it: pieces cut, doubled, moved, put in; numbers changed. */
export function mutateText(text: string, random: Random): string {
	let out = text;
	for (let count = 1 + random.below(4); count > 0; count--) out = mutateOnce(out, random);
	return out;
}

function mutateOnce(text: string, random: Random): string {
	const at = random.below(text.length + 1);
	const length = 1 + random.below(20);
	const [before, piece, behind] = [text.slice(0, at), text.slice(at, at + length), text.slice(at + length)];
	switch (random.below(6)) {
		case 0:
			return before + behind;
		case 1:
			return before + piece.repeat(1 + random.below(50)) + behind;
		case 2:
			return before + PIECES[random.below(PIECES.length)]! + piece + behind;
		case 3: {
			const numbers = [...text.matchAll(/\d+/g)];
			const chosen = numbers[random.below(Math.max(1, numbers.length))];
			if (chosen === undefined) return text;
			const value = NUMBERS[random.below(NUMBERS.length)]!;
			return text.slice(0, chosen.index) + value + text.slice(chosen.index + chosen[0].length);
		}
		case 4: {
			// Two lines change places.
			const lines = text.split("\n");
			const [a, b] = [random.below(lines.length), random.below(lines.length)];
			[lines[a], lines[b]] = [lines[b]!, lines[a]!];
			return lines.join("\n");
		}
		default:
			return before;
	}
}

/** Bytes with some mistakes in them: bits, whole words with values at the ends of ranges, a cut end. */
export function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array {
	const out = bytes.slice(0, random.below(8) === 0 ? random.below(bytes.length + 1) : bytes.length);
	if (out.length < 8) return out;
	for (let count = 1 + random.below(6); count > 0; count--) {
		const at = random.below(out.length - 7);
		const view = new DataView(out.buffer, out.byteOffset);
		switch (random.below(4)) {
			case 0:
				out[at]! ^= 1 << random.below(8);
				break;
			case 1:
				view.setUint32(at, [0, 1, 0xffffffff, 0x7fffffff, 0x80000000, out.length][random.below(6)]!, true);
				break;
			case 2:
				view.setBigUint64(at, [0n, 0xffffffffffffffffn, 1n << 63n, BigInt(out.length)][random.below(4)]!, true);
				break;
			default:
				out.copyWithin(at, random.below(out.length - 7), random.below(out.length));
		}
	}
	return out;
}
