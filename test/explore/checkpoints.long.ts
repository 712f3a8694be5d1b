import { expect, test } from "vitest";
import { Random } from "../../src/base/index.js";
import { type Checkpoint, Journal, type SearchOptions } from "../../src/explore/index.js";
import { exploreModel, modelOf, PATCHES } from "./support.js";

const YAML = `cpus: 2
${PATCHES}
tasks: { a: { calls: [funcA] }, b: { calls: [funcB] } }
steps: [{ insmod: lp1 }, { insmod: lp3 }]`;

/** Interrupted again and again, each time after a random number of pauses, and gone on with from what was saved. */
async function inParts(yaml: string, design: string, options: Partial<SearchOptions>, random: Random) {
	let from: Checkpoint | undefined;
	for (let parts = 1; ; parts++) {
		const journal = new Journal(from);
		let left = 1 + random.below(3);
		const interrupted = () => left-- <= 0;
		const found = await exploreModel(await modelOf(yaml, design), { ...options, journal, interrupted });
		if (left >= 0) return { parts, found };
		// As a file would give it back.
		const { searches, numbers } = journal.checkpoint();
		from = { searches: JSON.parse(JSON.stringify(searches)), numbers: numbers.slice() };
	}
}

test.each([
	["with reduction", "mainline", { reduction: true }],
	["without reduction", "mainline", { reduction: false }],
] as const)("a search that is interrupted again and again ends like another one, %s", async (_, design, options) => {
	const whole = await exploreModel(await modelOf(YAML, design), options);
	const { parts, found } = await inParts(YAML, design, options, new Random(5n));
	const told = ({ result, states, transitions, depth, violations, searches }: typeof whole) => {
		return { result, states, transitions, depth, violations, searches };
	};
	expect(told(found)).toEqual(told(whole));
	if (!options.reduction) expect(parts).toBeGreaterThan(2);
});
