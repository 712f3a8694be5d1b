/** The key `explore` of a scenario: what all schedules do, where the one of `run` does not show it. */
import { expect, test } from "vitest";
import { INVARIANTS } from "../../src/consistency/index.js";
import { nodeHost } from "../../src/node/index.js";
import { exploreScenario, parseScenario } from "../../src/scenario/index.js";

const FILE = "scenarios/test.yaml";
/** Unloaded while it may still be in use: -EAGAIN in some schedules. */
const scenario = (explore: string) => `title: t
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
tasks: { worker: { calls: [funcA] } }
steps: [{ insmod: lp1 }, settle, { disable: lp1 }, { rmmod: lp1 }]
${explore}
`;

async function judged(explore: string) {
	const { judgement } = await exploreScenario({
		scenario: parseScenario(scenario(explore), FILE),
		machine: { host: nodeHost(FILE), design: "mainline" },
		budget: 100_000,
		invariants: new Set(INVARIANTS),
		all: false,
		reduction: true,
	});
	return judgement;
}

test("may_fail: results that a step also has are as expected; others are not", async () => {
	expect((await judged("")).failures.join()).toMatch(/rmmod lp1.*the result is -EAGAIN, not success in some schedules/);
	expect(await judged("explore: { may_fail: { rmmod lp1: [EAGAIN] } }")).toEqual({ asExpected: true, failures: [] });
	expect((await judged("explore: { may_fail: { rmmod lp1: [EBUSY] } }")).asExpected).toBe(false);
});

test("expect: the verdict of the explorer alone", async () => {
	const may = "may_fail: { rmmod lp1: [EAGAIN] }";
	expect((await judged(`explore: { expect: violated, ${may} }`)).asExpected).toBe(false);
	expect((await judged(`expect: violated\nexplore: { expect: { mainline: consistent }, ${may} }`)).asExpected).toBe(
		true,
	);
});

test("a title that no step has is an error with the nearest ones", () => {
	const parse = () => parseScenario(scenario("explore: { may_fail: { rmod lp1: [EAGAIN] } }"), FILE);
	expect(parse).toThrow(/there is no step 'rmod lp1'\n {2}hint: did you mean 'rmmod lp1', /);
});
