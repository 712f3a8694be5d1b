/** What klpemu merge makes of the rows of its parts: test/node/cli/explore.test.ts has the files and the command line. */
import { expect, test } from "vitest";
import type { ExploreReport } from "../../../src/node/cli/explore-report.js";
import { mergeReports } from "../../../src/node/cli/merge.js";
import type { ExploreRow } from "../../../src/node/explore-rows.js";

const row = (design: string, result: ExploreRow["result"], more: Partial<ExploreRow> = {}): ExploreRow => ({
	...{ design, result, invariant: null, message: null, scheduleLength: null, schedule: null },
	...{ states: 1, transitions: 1, depth: 1, seconds: 0.5, asExpected: true },
	...more,
});
const step = (results: readonly number[], failures: readonly string[] = []) => ({
	...{ step: "insmod lp1", where: "s.yaml:9:5", expected: 0, results, failures },
});

function merged(...parts: readonly (readonly ExploreRow[])[]): readonly ExploreRow[] {
	const reports = parts.map(
		(results, index): ExploreReport => ({
			...{ schema: 1, scenario: "S", preemption: "full", shard: `${index + 1}/${parts.length}`, results },
		}),
	);
	const report = mergeReports(
		reports,
		reports.map((_, index) => `part${index + 1}.json`),
	);
	expect(report).toMatchObject({ schema: 1, scenario: "S", preemption: "full" });
	return report.results;
}

test("of a violation that several parts have found, the shortest schedule; states of two parts count once", () => {
	const broken = (scheduleLength: number, invariant: string, visited: Readonly<Record<string, number>>) =>
		row("mainline", "violated", {
			invariant,
			scheduleLength,
			message: `${scheduleLength}`,
			visited,
			depth: scheduleLength,
		});
	const results = merged(
		[broken(9, "warn", { a: 2, b: 1 })],
		[broken(4, "warn", { b: 1, c: 3 }), broken(7, "stuck", {})],
		[row("mainline", "complete", { visited: { d: 0 } })],
	);
	expect(results).toMatchObject([
		{ invariant: "warn", message: "4", scheduleLength: 4, states: 4, transitions: 6, depth: 9, seconds: 1.5 },
		{ invariant: "stuck", message: "7", scheduleLength: 7, states: 4 },
	]);
	expect(results.every((one) => one.visited === undefined)).toBe(true);
});

test("a part that is bounded makes the whole bounded: what the scenario expects is then unknown", () => {
	const steps = { expected: "consistent", steps: [step([0])], failures: [] } as const;
	const parts = [
		row("mainline", "complete", steps),
		row("mainline", "bounded", { ...steps, asExpected: null, reason: "no time" }),
	];
	const [one] = merged(...parts.map((part) => [part]));
	expect(one).toMatchObject({ result: "bounded", reason: "no time", asExpected: null });
});

test("a step ends as it does in any of the parts", () => {
	const part = (results: readonly number[]) => [
		row("mainline", "complete", { expected: "consistent", steps: [step(results)], failures: [], visited: { a: 1 } }),
	];
	expect(merged(part([0]), part([0, -16]))[0]).toMatchObject({ steps: [{ results: [0, -16] }], asExpected: false });
	expect(merged(part([0]), part([0]))[0]).toMatchObject({ steps: [{ results: [0] }], asExpected: true, failures: [] });
});

test("a design that refuses the scenario in each part is refused, and rows of an older klpemu have no steps", () => {
	const refused = row("universe", "refused", { asExpected: false, failures: ["no key 'x'"] });
	expect(merged([refused], [refused])).toMatchObject([{ result: "refused", failures: ["no key 'x'"], states: 0 }]);
	const { asExpected: _, ...old } = row("mainline", "complete", { visited: { a: 1 } });
	expect(merged([old], [old])).toMatchObject([{ result: "complete", states: 1, transitions: 1 }]);
	expect(merged([old], [old])[0]).not.toHaveProperty("asExpected");
});
