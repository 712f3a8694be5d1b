import { describe, expect, test } from "vitest";
import { BREAKS, ENDS, type MoveGraph, Shares } from "../../../src/explore/search/shares.js";

/** By state, where its moves lead. */
function graphOf(moves: readonly (readonly number[])[]): MoveGraph {
	const begin = [0];
	for (const of of moves) begin.push(begin.at(-1)! + of.length);
	return { begin: Int32Array.from(begin), to: Int32Array.from(moves.flat()) };
}

describe("shares of a graph, computed by hand", () => {
	test("a drunkard between a cliff and home: state k of 4 falls with probability 1 - k / 5", () => {
		const shares = new Shares(graphOf([[], [BREAKS, 2], [1, 3], [2, 4], [3, 0]]));
		const found = shares.of([0, 1, 2, 3, 4]);
		for (const [k, share] of found.shares.entries()) expect(share).toBeCloseTo(k === 0 ? 0 : 1 - k / 5, 5);
		expect(found.error).toBeLessThanOrEqual(1e-6);
		expect([0, 1, 2, 3, 4].map((state) => shares.isInevitable(state))).toEqual([false, false, false, false, false]);
	});
	test("a loop with one way out is left for sure; another end is none of ours", () => {
		const shares = new Shares(
			graphOf([
				[0, 1],
				[1, 2, BREAKS],
				[2, 1],
				[BREAKS, ENDS],
			]),
		);
		expect(shares.of([0, 1, 2, 3])).toEqual({ shares: [1, 1, 1, 0.5], error: 0 });
		expect([0, 1, 2, 3].map((state) => shares.isInevitable(state))).toEqual([true, true, true, false]);
	});
	test("shares that are not known well enough say so", () => {
		// Each round of a hundred states brings the walk nearer by little.
		const walk = Array.from({ length: 100 }, (_, k) => (k === 0 ? [] : [k - 1, k === 99 ? BREAKS : k + 1]));
		const { shares, error } = new Shares(graphOf(walk)).of([50], 1000);
		expect(error).toBeGreaterThan(0.01);
		expect(Math.abs(shares[0]! - 0.5)).toBeLessThanOrEqual(error);
	});
});
