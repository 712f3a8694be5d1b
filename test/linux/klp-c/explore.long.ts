/** Mistakes in the kernel's own livepatch code: each is caught by a schedule that the explorer finds in the C. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { INVARIANTS } from "../../../src/consistency/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { exploreScenario, parseScenario, replaySchedule } from "../../../src/scenario/index.js";
import { kernelCore } from "../../support/kernel-core.js";
import { PatchedCores } from "../../support/patched-core.js";
import { part } from "../../support/sample.js";
import { complete, explored } from "./explored-mutants.js";

const cores = new PatchedCores();
beforeAll(() => cores.open());
afterAll(() => cores.close());
const LIMITS = { budget: 300_000, invariants: new Set(INVARIANTS), all: false, reduction: true };

describe.each(part(explored, 3))("$title", ({ edit, scenario: text, caught }) => {
	const file = "scenarios/mutant.yaml";

	test("is caught with a schedule, which can be made again", async ({ skip }) => {
		const core = await cores.build("mutant", [edit], skip);
		const scenario = parseScenario(text, file);
		const machine = { host: nodeHost(file), core };
		const { exploration, schedules } = await exploreScenario({ scenario, machine, ...LIMITS });
		expect([exploration.result, exploration.violations.map(({ broken }) => broken.invariant)]).toEqual([
			"violated",
			[caught],
		]);
		if (caught === "stuck" || caught === "deadlock") return;
		const { moves } = await replaySchedule(scenario, schedules[0]!, machine);
		expect(moves.at(-1)!.broken.map(({ invariant }) => invariant)).toContain(caught);
	});
});

test("finding 8 in the kernel's own code: a task that has left the task list is seen by no transition", async ({
	skip,
}) => {
	const core = await kernelCore(skip);
	const file = "scenarios/hunting/exit-in-function.yaml";
	const scenario = parseScenario(await readFile(file, "utf8"), file);
	const machine = { host: nodeHost(file), core };
	const { exploration, schedules } = await exploreScenario({ scenario, machine, ...LIMITS });
	expect(exploration.violations.map(({ broken }) => broken.invariant)).toEqual(["warn"]);
	const { moves } = await replaySchedule(scenario, schedules[0]!, machine);
	expect(moves.at(-1)!.broken[0]!.message).toMatch(/patch\.c:\d+ klp_ftrace_handler/);
});

describe("the code as it is", () => {
	test.for(complete.map((text) => [/^steps: (.*)$/m.exec(text)![1], text] as const))(
		"keeps every invariant in every schedule: %s",
		async ([, text], { skip }) => {
			const file = "scenarios/mutant.yaml";
			const core = await kernelCore(skip);
			const machine = { host: nodeHost(file), core };
			const { exploration } = await exploreScenario({ scenario: parseScenario(text, file), machine, ...LIMITS });
			expect([exploration.result, exploration.violations]).toEqual(["complete", []]);
		},
	);
});
