import { expect, test } from "vitest";
import { LONG } from "../support/sample.js";
import { SMALL } from "../support/small-scenario.js";
import { exploreModel, modelOf } from "./support.js";

async function exploreIn(order: bigint | undefined, budget: number, reduction = true) {
	const model = await modelOf(SMALL.replace(/^\ntitle:.*\n/, ""));
	const { result, states, transitions, depth } = await exploreModel(model, { budget, order, reduction });
	return { result, states, transitions, depth };
}

test("a search that ends has the same states in any order", async () => {
	const { depth: _, ...breadth } = await exploreIn(undefined, 100_000);
	expect(breadth.result).toBe("complete");
	for (const order of LONG ? [1n, 2n] : [1n]) expect(await exploreIn(order, 100_000)).toMatchObject(breadth);
});

test("nothing left out: another order makes each step that leads to a state as it was made the first time", async () => {
	const { depth: _, ...breadth } = await exploreIn(undefined, 100_000, false);
	expect(breadth.result).toBe("complete");
	for (const order of LONG ? [1n, 2n, 3n, 4n] : [5n])
		expect(await exploreIn(order, 100_000, false)).toMatchObject(breadth);
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
