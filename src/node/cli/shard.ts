import type { Shard } from "../../explore/index.js";

/** `I/N`, the I-th of N parts of a search, with 1 <= I <= N < 100000; undefined: the text is none. */
export function parseShard(text: string): Shard | undefined {
	const [, index, count] = (/^([1-9]\d{0,4})\/([1-9]\d{0,4})$/.exec(text) ?? []).map(Number);
	return index! <= count! ? { index: index! - 1, count: count! } : undefined;
}
