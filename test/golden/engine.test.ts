/** The recorded transcripts against the engine: the same scenario, step by step, on the emulated machine. */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { nodeHost } from "../../src/node/index.js";
import type { Report } from "../../src/report/index.js";
import { parseScenario, runScenario, type Step } from "../../src/scenario/index.js";
import { compareState, recordedDmesg, recordedResults, reportDmesg, reportResults, stepOf } from "./compare.js";
import { loadTranscript, statesOf } from "./load.js";

describe.each([
	["mainline-order", "scenarios/mainline-order.yaml", "consistent"],
	["rfc-petr", "scenarios/rfc-petr.yaml", "violated"],
] as const)("%s", (name, file, verdict) => {
	const events = loadTranscript(name);
	const scenario = parseScenario(readFileSync(file, "utf8"), file);
	let report: Report;
	beforeAll(async () => {
		report = await runScenario(scenario, { host: nodeHost(file) });
	});

	test.each(statesOf(events).map((state): [string, typeof state] => [state.title, state]))("%s", (title, state) => {
		expect(compareState(stepOf(report, title)!, state)).toEqual([]);
	});
	test("dmesg of livepatch, in order", () => {
		expect(reportDmesg(report)).toEqual(recordedDmesg(events));
	});
	test("results of the commands, in order", () => {
		expect(reportResults(report)).toEqual(recordedResults(events));
	});
	test("verdict", () => {
		expect([report.verdict, report.failures]).toEqual([verdict, []]);
	});
	test("as many steps as the scenario has, each under its number", () => {
		expect(report.steps.map((step) => step.index)).toEqual(scenario.steps.map((_: Step, index: number) => index + 1));
	});
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
