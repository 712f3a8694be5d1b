import { expect, test } from "vitest";
import { buildGraph, type Node, Profile } from "../../../../src/cpu/jit/tier2/index.js";
import { decodeBytes } from "../../../../src/cpu/x86/index.js";
import { toU64 } from "../../../../src/memory/index.js";

const CODE = -0x7f000000;

/** How often each block is in the graph of the code when all of it is hot, by its offset. */
function blocks(code: readonly number[], unrolled: boolean): Record<string, number> {
	const profile = new Profile();
	for (let offset = 0; offset < code.length; offset++) profile.seen.add(CODE + offset);
	const text = {
		decodeAt: (address: bigint) =>
			decodeBytes(Uint8Array.from(code), address, Number(BigInt.asIntN(64, address)) - CODE),
		site: () => undefined,
		gate: () => undefined,
		isBreakpoint: () => false,
		isHot: () => false,
	};
	const found = new Set<Node>([buildGraph(text, CODE, profile, unrolled)!]);
	const count: Record<string, number> = {};
	for (const { address, to } of found) {
		const offset = Number(address - toU64(CODE));
		count[offset] = (count[offset] ?? 0) + 1;
		for (const node of to.values()) found.add(node);
	}
	return count;
}

// sub rax, 1; jne 0; add rcx, 1; cmp rcx, rdx; jne 0; ret
const NEST = [0x48, 0x83, 0xe8, 1, 0x75, 0xfa, 0x48, 0x83, 0xc1, 1, 0x48, 0x39, 0xd1, 0x75, 0xf1, 0xc3];

test("of two loops that begin at the same place only the inner one is repeated", () => {
	expect(blocks(NEST, false)).toEqual({ 0: 1, 6: 1, 15: 1 });
	expect(blocks(NEST, true)).toEqual({ 0: 4, 6: 1, 15: 1 });
});
