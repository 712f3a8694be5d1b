import { describe, expect, test } from "vitest";
import { glance } from "../../src/report/glance.js";
import { plain, type Report, type ReportStep } from "../../src/report/index.js";

/** One step for each column: the letters are those of the tasks after it; a blank: there is no such task. */
function report(
	lanes: Readonly<Record<string, string>>,
	violations: readonly [step: number, task: string][] = [],
): Report {
	const states = { i: "IDLE", u: "UNPATCHED", p: "PATCHED" } as const;
	const length = Math.max(...Object.values(lanes).map((lane) => lane.length));
	const steps = Array.from({ length }, (_, at) => {
		const there = Object.entries(lanes).filter(([, lane]) => lane[at] !== " ");
		const tasks = there.map(([name, lane]) => [name, { patch_state: states[lane[at] as keyof typeof states] }]);
		return { index: at + 1, action: "run 1 round", tasks: Object.fromEntries(tasks) } as unknown as ReportStep;
	});
	return { steps, violations: violations.map(([step, task]) => ({ step, task })) } as unknown as Report;
}

describe("transitions at a glance", () => {
	test("a lane for each task, a character for each step, a mark for a violation", () => {
		const lines = glance(
			report({ "w/0": "iupi", "w/1": "iupi", late: "iuup", child: " upi" }, [[3, "late"]]),
			60,
			plain,
		);
		expect(lines).toEqual([
			"  step   1",
			"  w/0-1  ·uP·",
			"  late   ·u✗P",
			"  child   uP·",
			"  · IDLE  u UNPATCHED  P PATCHED  ✗ breaks an invariant",
			"",
		]);
	});
	test("expectations and titles have no column; the ruler has the numbers of the file", () => {
		const whole = report({ task: "uuuuuuuupi" });
		const steps = whole.steps.map((step) => (step.index % 2 ? step : { ...step, action: "expect task task" }));
		expect(glance({ ...whole, steps: [...steps, ...report({ task: "i" }).steps] }, 60, plain).slice(0, 2)).toEqual([
			"  step  1    1",
			"  task  uuuuP·",
		]);
	});
	test("goes on in further lines if there are more steps than columns", () => {
		const lines = glance(report({ task: `${"u".repeat(70)}p` }), 60, plain);
		expect(lines.filter((line) => line.startsWith("  task")).map((line) => line.length)).toEqual([60, 27]);
		expect(lines[0]).toMatch(/^ {2}step {2}1 {4}6 {4}11/);
		expect(lines[2]).toMatch(/^ {2}step {2}53/);
	});
	test("says nothing if there was no transition", () => {
		expect(glance(report({ task: "iii" }), 60, plain)).toEqual([]);
	});
});
