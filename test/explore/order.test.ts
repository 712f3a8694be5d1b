import { expect, test } from "vitest";
import { INVARIANTS } from "../../src/consistency/index.js";
import { nodeHost } from "../../src/node/index.js";
import { exploreScenario, parseScenario } from "../../src/scenario/index.js";

const FILE = "scenarios/order.yaml";
const TEXT = `
title: One livepatch, one task
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
tasks:
  worker: { calls: [funcA] }
steps:
  - insmod: lp1
  - settle
`;

async function exploreIn(order: bigint | undefined, budget: number) {
	const limits = { budget, invariants: new Set(INVARIANTS), all: false, reduction: true };
	const machine = { host: nodeHost(FILE), design: "mainline" };
	const { exploration } = await exploreScenario({ scenario: parseScenario(TEXT, FILE), machine, ...limits, order });
	const { result, states, transitions, depth } = exploration;
	return { result, states, transitions, depth };
}

test("a search that ends has the same states in any order", async () => {
	const { depth: _, ...breadth } = await exploreIn(undefined, 100_000);
	expect(breadth.result).toBe("complete");
	for (const order of [1n, 2n]) expect(await exploreIn(order, 100_000)).toMatchObject(breadth);
});

test("with few states, other orders see other states; the same seed the same", async () => {
	const [breadth, first, again, second] = [
		await exploreIn(undefined, 100),
		await exploreIn(1n, 100),
		await exploreIn(1n, 100),
		await exploreIn(2n, 100),
	];
	expect(breadth).toMatchObject({ result: "bounded" });
	expect(again).toEqual(first);
	expect(new Set([breadth, first, second].map((one) => JSON.stringify(one))).size).toBe(3);
	// Depth first gets farther with as many states.
	expect(first.depth).toBeGreaterThan(breadth.depth);
});
