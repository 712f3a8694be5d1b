/** Moves of tasks that explorations of a scenario under several designs have in common: each is made once, and nothing else changes. */
import { describe, expect, test } from "vitest";
import { Common } from "../../src/explore/index.js";
import { exploreModel, exploreTwo, modelOf, OwnSources, PATCHES } from "./support.js";

const YAML = `${PATCHES}
tasks: { worker: { calls: [funcC] } }
steps: [{ insmod: lp2 }]`;

/** What the exploration finds, and how many of its tasks' moves were made before. */
async function explored(design: string, common?: Common, yaml = YAML) {
	const before = common?.moves.taken ?? 0;
	const { executed, ...found } = await exploreModel(await modelOf(yaml, design), { common });
	return { found, made: executed.guest, taken: (common?.moves.taken ?? 0) - before };
}

describe("designs with the same handler", () => {
	test("make no move a second time, and find the same as without", async () => {
		const second = await exploreTwo(explored);
		// But for the first ones, which find what tasks write.
		expect(second.taken).toBeGreaterThan(0.9 * second.made);
	});

	test("universe has another one", async () => {
		const common = new Common();
		await explored("mainline", common);
		const alone = await explored("universe", new Common());
		expect(await explored("universe", common)).toEqual(alone);
		expect((await explored("universe", common)).taken).toBeGreaterThan(0.9 * alone.made);
	});
});

test("other code at the same place, other constants", async () => {
	const sources = new OwnSources();
	try {
		const all = new Common();
		const taken = async (text: string, common: Common) => {
			const before = common.moves.taken;
			const yaml = `${PATCHES.replace("]", ", task.c]")}tasks: { worker: { calls: [work] } }\nsteps: [{ insmod: lp1 }]`;
			await sources.explore(yaml, { "task.c": text }, 10_000, { common });
			return common.moves.taken - before;
		};
		/** True if it takes what explorations before it have made. */
		const shares = async (text: string) => (await taken(text, all)) > (await taken(text, new Common()));
		const text = (more: string) =>
			`#include <linux/compiler.h>\nextern long funcA(long);\n${more}\nnoinline long work(long x) { return LEFT + funcA(x); }\n`;
		const one = text("#define LEFT 1");
		const table = (value: number) => text(`static const long table[] = { ${value}, 3 };\n#define LEFT table[x & 1]`);
		expect([await shares(one), await shares(one)]).toEqual([false, true]);
		expect(await shares(text("#define LEFT 2"))).toBe(false);
		expect([await shares(table(1)), await shares(table(2)), await shares(table(1))]).toEqual([false, false, true]);
	} finally {
		sources.close();
	}
});
