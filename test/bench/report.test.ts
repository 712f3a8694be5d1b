/** Reports: what rows become, what is called a change, what the page holds. */
import { describe, expect, test } from "vitest";
import { collect, compareWith, mergeRows } from "../../bench/collect.js";
import type { BenchReport, Measured, Part, Reference, Unit } from "../../bench/common/index.js";
import { compare } from "../../bench/compare.js";
import reference from "../../bench/reference.json" with { type: "json" };
import { barsSvg, renderComparison, renderPage, renderText } from "../../bench/report/index.js";
import { CALL_CASES, curves } from "../../bench/suites/index.js";
import { Random } from "../../src/base/index.js";

function measured(id: string, value: number, unit: Unit = "ns/call", more: Partial<Measured> = {}): Measured {
	return {
		suite: "handler",
		id,
		what: `what ${id}`,
		design: "mainline",
		cpu: "jit",
		unit,
		value,
		exact: unit !== "ns/call",
		...more,
	};
}

const part = (...rows: Measured[]): Part => ({ rows, absent: [] });

/** A report of five processes, each with 2 % of noise, and `factor` on all times of depth1. */
async function report(seed: number, factor = 1, scale = 1): Promise<BenchReport> {
	const random = new Random(seed);
	const noise = () => 0.99 + random.below(2000) / 100_000;
	const parts = Array.from({ length: 5 }, () =>
		part(
			measured("untraced", 2 * scale * noise()),
			measured("nop_site", 3 * scale * noise()),
			measured("depth1", 50 * scale * factor * noise()),
			measured("depth1", factor === 1 ? 41 : 42, "insns/call"),
			measured("untraced", 4, "insns/call"),
		),
	);
	return collect({ parts, smoke: false, processes: 5, date: "2026-01-01", warnings: [] });
}

describe("rows", () => {
	test("have the median, the ends and the spread of all processes", () => {
		const [row] = mergeRows([part(measured("a", 10)), part(measured("a", 12)), part(measured("a", 11))], true);
		expect(row).toMatchObject({ runs: [10, 12, 11], median: 11, min: 10, max: 12, spread: 2 / 11, warnings: [] });
	});
	test("say why they are not to be trusted", () => {
		const noisy = [part(measured("a", 10)), part(measured("a", 20))];
		expect(mergeRows(noisy, true)[0]!.warnings).toEqual(["processes differ by 67 %"]);
		expect(mergeRows(noisy, false)[0]!.warnings).toEqual([]);
		const within = mergeRows([part(measured("a", 10, "ns/call", { within: 0.5 }))], true);
		expect(within[0]!.warnings).toEqual(["samples of one process differ by 50 %"]);
		expect(mergeRows([part(measured("a", -1))], true)[0]!.warnings).toEqual([
			"not above zero: smaller than what is taken off",
		]);
	});
	test("that are said to be exact and are not are an error", () => {
		const parts = [part(measured("a", 41, "insns/call")), part(measured("a", 42, "insns/call"))];
		expect(() => mergeRows(parts, true)).toThrow("is said to be exact, but is 41 42 insns/call");
	});
});

describe("--compare", () => {
	test("finds nothing between two reports of the same, whatever the noise", async () => {
		let alarms = 0;
		for (let seed = 1; seed <= 12; seed += 2) {
			const { rows } = compare(await report(seed), await report(seed + 1));
			alarms += rows.filter(({ changed }) => changed).length;
		}
		expect(alarms).toBe(0);
	});
	test("finds a change of 10 % under 2 % of noise, and the changed count, and nothing else", async () => {
		const changes = compare(await report(1), await report(2, 1.1));
		const changed = changes.rows.filter((row) => row.changed);
		expect(changed.map(({ id, unit }) => [id, unit])).toEqual([
			["depth1", "ns/call"],
			["depth1", "insns/call"],
		]);
		expect(changed[0]!.change).toBeGreaterThan(0.08);
		expect(renderComparison(changes)).toContain("2 of 5 rows changed");
	});
	test("a change below 3 % is none, however certain", async () => {
		const quiet = (value: number) =>
			collect({
				parts: [1, 2, 3].map((i) => part(measured("depth1", value + i / 1000))),
				smoke: false,
				processes: 3,
				date: "",
				warnings: [],
			});
		const [row] = compare(await quiet(100), await quiet(101)).rows;
		expect(row!.p).toBeLessThan(1e-6);
		expect(row!.changed).toBe(false);
	});
	test("on another machine, times per call are related to an untraced call there", async () => {
		const [here, there] = [await report(1), await report(2, 1, 3)];
		const elsewhere = { ...there, machine: { ...there.machine, processor: "another" } };
		const changes = compare(here, elsewhere);
		expect(changes.rows.filter((row) => row.changed)).toEqual([]);
		expect(changes.rows.find(({ id, unit }) => id === "depth1" && unit === "ns/call")!.before).toBeCloseTo(25, 0);
		expect(changes.warnings[0]).toContain("different machines");
		expect(compare(here, there).rows.filter((row) => row.changed).length).toBe(3);
	});
	test("says what it cannot test, and what only one of them has", async () => {
		const one = await collect({
			parts: [part(measured("a", 1), measured("b", 2))],
			smoke: false,
			processes: 1,
			date: "",
			warnings: [],
		});
		const two = await collect({
			parts: [part(measured("a", 1), measured("c", 2))],
			smoke: true,
			processes: 1,
			date: "",
			warnings: [],
		});
		const changes = compare(one, two);
		expect(changes.untested).toEqual([
			{ row: "handler a mainline jit ns/call", reason: "needs two processes in both reports" },
		]);
		expect([changes.onlyBefore, changes.onlyAfter]).toEqual([
			["handler b mainline jit ns/call"],
			["handler c mainline jit ns/call"],
		]);
		expect(changes.warnings).toEqual(["a report in smoke mode: its times mean nothing"]);
	});
	test("warns when the hardware itself has changed", async () => {
		const native = (value: number) =>
			collect({
				parts: [1, 2, 3].map((i) =>
					part(measured("depth1", value + i / 10, "ns/call", { cpu: "hardware", design: "-" })),
				),
				smoke: false,
				processes: 3,
				date: "",
				warnings: [],
			});
		expect(compare(await native(20), await native(30)).warnings[0]).toContain("the machine itself changed");
	});
});

describe("references", () => {
	const entries = reference.entries as Reference[];
	test("each has a source, a machine and a date, and rows that we measure", () => {
		const known = CALL_CASES.map(({ id }) => id);
		for (const entry of entries) {
			expect([entry.source, entry.where, entry.date].every((text) => text.length > 3)).toBe(true);
			expect(known).toContain(entry.row);
			expect(known).toContain(entry.relativeTo.row);
		}
	});
	test("a time is compared as ratio to the same machine's, instructions as difference", async () => {
		const { rows } = await report(1);
		const time = entries.find(
			({ kind, row, relativeTo }) => kind === "time" && row === "depth1" && relativeTo.row === "nop_site",
		)!;
		const of = (id: string) => rows.find((row) => row.id === id && row.unit === "ns/call")!.median;
		expect(compareWith(time, rows)).toMatchObject({ theirs: 20.6 / 1.5, ours: of("depth1") / of("nop_site") });
		const count = entries.find(({ kind, row }) => kind === "instructions" && row === "depth1")!;
		expect(compareWith(count, rows)).toMatchObject({ theirs: 83, ours: 37, oursRaw: 41 });
		expect(compareWith(count, []).ours).toBeNull();
	});
});

test("bars have names for people; a time below the noise has no bar, and says so", () => {
	const svg = barsSvg({
		title: "What does a call cost?",
		kind: "bars",
		labels: ["patching, UNPATCHED task, previous function", "<untraced>"],
		x: [0, 1],
		xName: "call",
		yName: "ns per call",
		series: [{ name: "jit", values: [8, -1.5], low: [-2, -3], high: [10, -0.5] }],
	});
	expect(svg).toContain(">patching, UNPATCHED task, previous function</text>");
	expect(svg).toContain("&lt;untraced&gt;");
	expect(svg.match(/<rect/g)).toHaveLength(1);
	expect(svg.match(/class="whisker"/g)).toHaveLength(1);
	expect(svg).toContain("below the noise");
	expect(svg).not.toMatch(/(?:width|x|x1|cx)="-|NaN/);
});

describe("renderings", () => {
	test("the text has a table for the handler, with multiples of the untraced call", async () => {
		const text = renderText(await report(1));
		expect(text).toMatch(/patched, steady, func_stack depth 1 +41 +\d+\.\d +\d+\.\d – \d+\.\d +× 2\d\.\d/);
	});
	test("the page is one file: nothing in it is loaded from elsewhere, and nothing breaks out of its data", async () => {
		const made = await report(1);
		const page = await renderPage({ ...made, warnings: ["</script><b>"] }, compare(made, await report(2, 1.2)));
		expect(page).not.toMatch(/<(script|link|img)[^>]+(src|href)=/);
		expect(page).not.toContain("</script><b>");
		expect(page).toContain('<svg class="bars"');
		expect(page).toContain("Compared with the older report");
		expect(page.match(/<script/g)).toHaveLength(3);
		// The page's own script is compiled, and needs nothing that only a bundler or Node has.
		const own = page.slice(page.lastIndexOf('<script type="module">'));
		expect(own).toContain("new uPlot(");
		expect(own).not.toMatch(/\b(import|require|exports)\b/);
	});
});

test("curves: smoke mode has the same ones, only smaller", () => {
	expect(curves(true).map(({ id }) => id)).toEqual(curves(false).map(({ id }) => id));
	const goal = curves(false).find(({ id }) => id === "goal/busy")!;
	expect(goal.points).toEqual([{ place: "busy", tasks: 10_000, functions: 100, depth: 4 }]);
});
