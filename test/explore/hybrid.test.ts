/** The scenario that everything starts from, explored; and its schedule, made for real on every Cpu. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { INVARIANTS } from "../../src/consistency/index.js";
import { formatSchedule, parseSchedule, Replayer } from "../../src/explore/index.js";
import { CPU_NAMES, nodeHost } from "../../src/node/index.js";
import { createModel, exploreScenario, parseScenario, replaySchedule } from "../../src/scenario/index.js";
import { LONG } from "../support/sample.js";

const FILE = "scenarios/hybrid-lp1-lp2-lp3.yaml";
const text = readFileSync(FILE, "utf8");
const scenario = parseScenario(text, FILE);
const machine = (design: string, cpu = "jit") => ({ host: nodeHost(FILE), design, cpu });

function exploreHybrid(design: string) {
	const limits = { budget: 200_000, invariants: new Set(INVARIANTS), all: false, reduction: true };
	return exploreScenario({ scenario, machine: machine(design), ...limits });
}

describe("rfc-2025", () => {
	const found = exploreHybrid("rfc-2025");

	test("is violated by the schedule of the mail, which breaks the same on every Cpu", async () => {
		const { exploration, schedules } = await found;
		expect(exploration.result).toBe("violated");
		const [schedule] = schedules;
		expect(schedule!.invariant).toBe("mixed-universe");
		expect(schedule!.message).toContain("runs (original, lp3_funcB): neither (lp2_funcA, lp2_funcB)");
		expect(parseSchedule(formatSchedule(schedule!), "x")).toEqual(schedule);
		const stories = new Set<string>();
		for (const cpu of CPU_NAMES) {
			const { moves, story } = await replaySchedule(scenario, schedule!, machine("rfc-2025", cpu));
			expect(moves).toHaveLength(schedule!.moves.length);
			expect(moves.at(-1)!.broken[0]).toMatchObject({ invariant: "mixed-universe", message: schedule!.message });
			for (const [index, { points }] of moves.entries()) {
				if (schedule!.moves[index]!.steps === 1) expect(points).toEqual([schedule!.moves[index]!.label]);
			}
			stories.add(story);
		}
		expect(stories.size).toBe(1);
		expect([...stories][0]).toMatch(/ 1\. shell: insmod lp1\n.*func_stack of funcA: \[lp1_funcA\]/);
		expect([...stories][0]).toContain("IDLE -> PATCHED, sees (original, lp3_funcB)");
	});

	test("no move of its schedule can be left out", async () => {
		const { schedules } = await found;
		const { moves, invariant } = schedules[0]!;
		const model = await createModel(scenario, machine("rfc-2025"));
		const replayer = new Replayer(model);
		for (let leave = 0; leave < moves.length; leave += LONG ? 1 : 4) {
			const fewer = moves.filter((_, index) => index !== leave);
			let broken: unknown;
			try {
				broken = replayer.replay(fewer, new Set([invariant])).at(-1)?.broken[0];
			} catch (error) {
				expect(error).toMatchObject({ code: "REPLAY_IMPOSSIBLE" });
			}
			expect(broken, `without move ${leave + 1}`).toBeUndefined();
		}
		model.machine.close();
	});
});

test("universe is complete: no schedule breaks anything", async () => {
	const { exploration, schedules } = await exploreHybrid("universe");
	expect(exploration).toMatchObject({ result: "complete", violations: [] });
	expect(exploration.states).toBeGreaterThan(10_000);
	expect(schedules).toEqual([]);
});
