/** Scenarios that a real kernel has made, on the emulated machine: the verdict of each design. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { nodeHost } from "../../src/node/index.js";
import type { Report } from "../../src/report/index.js";
import { parseScenario, runScenario, type Step } from "../../src/scenario/index.js";

test.each([
	["scenarios/mainline-order.yaml", "consistent"],
	["scenarios/rfc-petr.yaml", "violated"],
] as const)("%s: %s as it expects, and as many steps as it has, each under its number", async (file, verdict) => {
	// test/node/compare/compare.test.ts compares each state with what a real kernel recorded.
	const scenario = parseScenario(readFileSync(file, "utf8"), file);
	const report = await runScenario(scenario, { host: nodeHost(file) });
	expect([report.verdict, report.failures]).toEqual([verdict, []]);
	expect(report.steps.map(({ index }) => index)).toEqual(scenario.steps.map((_: Step, index: number) => index + 1));
});

describe("hybrid-lp1-lp2-lp3", () => {
	const file = "scenarios/hybrid-lp1-lp2-lp3.yaml";
	const run = (design: string, seed = 1n) =>
		runScenario(parseScenario(readFileSync(file, "utf8"), file), { design, seed, host: nodeHost(file) });
	const atTheEnd = (report: Report) => report.steps.at(-1)!.tasks["worker/0"]!.view;

	test("rfc-2025: every PATCHED task changes from the original to lp1_funcA at completion", async () => {
		const report = await run("rfc-2025");
		expect([report.verdict, report.asExpected, report.failures]).toEqual(["violated", true, []]);
		const sudden = report.violations.filter(({ invariant }) => invariant === "sudden-change");
		expect(sudden.map(({ task, func, from, to }) => [task, func, from, to])).toEqual(
			expect.arrayContaining(["worker/0", "worker/1", "kwork"].map((task) => [task, "funcA", "original", "lp1_funcA"])),
		);
		expect(new Set(sudden.map(({ step }) => report.steps[step - 1]!.action))).toEqual(new Set(["settle"]));
		expect(atTheEnd(report)).toMatchObject({ funcA: "lp1_funcA", funcB: "lp3_funcB" });
	});
	test("universe: consistent, ends with (lp1_funcA, lp3_funcB)", async () => {
		const report = await run("universe");
		expect([report.verdict, report.violations, report.asExpected]).toEqual(["consistent", [], true]);
		expect(atTheEnd(report)).toMatchObject({ funcA: "lp1_funcA", funcB: "lp3_funcB" });
	});
	test("mainline: consistent, lp1 is gone", async () => {
		const report = await run("mainline");
		expect([report.verdict, report.violations, report.asExpected]).toEqual(["consistent", [], true]);
		expect(atTheEnd(report)).toMatchObject({ funcA: "original", funcB: "lp3_funcB" });
		expect(report.steps.at(-1)!.sysfs).not.toHaveProperty("lp1/enabled");
	});
	test("the same seed gives the same report, to the last line", async () => {
		expect(await run("rfc-2025", 7n)).toEqual(await run("rfc-2025", 7n));
	});
	test.each([2n, 3n, 0xffff_ffff_ffff_ffffn])("seed %s: other schedules, the same verdicts", async (seed) => {
		const verdicts = await Promise.all(["rfc-2025", "universe", "mainline"].map((design) => run(design, seed)));
		expect(verdicts.map(({ verdict, asExpected }) => [verdict, asExpected])).toEqual([
			["violated", true],
			["consistent", true],
			["consistent", true],
		]);
	});
});
