/** Making schedules shorter by what a search knows: that says of each schedule what a machine does. */
import { expect, test } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { exploreToShorten, type Move, minimise, Replayer } from "../../src/explore/index.js";
import { limits, modelOf, PATCHES } from "./support.js";

const YAML = `${PATCHES}
tasks: { worker: { calls: [funcC, funcA] }, other: { calls: [funcB] } }
steps: [{ insmod: lp1 }, settle, { insmod: lp2 }, { force: lp2 }, settle]`;

/** What becomes of a schedule: its moves up to the violation, or why it is none. */
function fate(replay: () => readonly { readonly broken: readonly unknown[] }[]): unknown {
	try {
		const done = replay();
		return [done.length, done.at(-1)?.broken];
	} catch (error) {
		if (error instanceof KlpemuError) return error.code;
		throw error;
	}
}

test("each schedule that lacks some moves of a found one has the same fate", async () => {
	const model = await modelOf(YAML);
	const again = await modelOf(YAML);
	try {
		const { exploration, rehearser } = await exploreToShorten(model, limits(300_000));
		const { broken, moves } = exploration.violations[0]!;
		const invariants = new Set([broken.invariant]);
		const replayer = new Replayer(again);
		const without = (from: number, count: number): Move[] => moves.filter((_, i) => i < from || i >= from + count);
		const fates = new Set<unknown>();
		for (const count of [0, 1]) {
			for (let from = 0; from + count <= moves.length; from++) {
				const schedule = without(from, count);
				const expected = fate(() => replayer.replay(schedule, invariants));
				expect(fate(() => rehearser.replay(schedule, invariants))).toEqual(expected);
				fates.add(typeof expected === "string" ? expected : (expected as [number, unknown[]])[1].length);
			}
		}
		// Some of them still break it, some do not.
		expect([...fates].sort()).toEqual([0, 1]);
		const shortest = minimise(rehearser, moves, broken.invariant);
		expect(shortest).toEqual(minimise(replayer, moves, broken.invariant));
		const nobody = { ...moves[0]!, who: "nobody" };
		expect(fate(() => rehearser.replay([nobody], invariants))).toBe("REPLAY_IMPOSSIBLE");
	} finally {
		model.machine.close();
		again.machine.close();
	}
});
