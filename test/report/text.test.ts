import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import {
	type Report,
	type ReportTask,
	type ReportViolation,
	renderReport,
	wantsColour,
} from "../../src/report/index.js";
import { hybrid, steps } from "./hybrid.js";

const golden = (name: string) => `golden/${name}.txt`;

describe("the hybrid scenario for a person", () => {
	test("100 columns", async () => {
		await expect(`${renderReport(hybrid)}\n`).toMatchFileSnapshot(golden("hybrid-100"));
	});
	test("80 columns", async () => {
		await expect(`${renderReport(hybrid, { width: 80 })}\n`).toMatchFileSnapshot(golden("hybrid-80"));
	});
	test("with dmesg", async () => {
		await expect(`${renderReport(hybrid, { dmesg: true })}\n`).toMatchFileSnapshot(golden("hybrid-dmesg"));
	});
	test.each([60, 80, 100, 140])("no line is longer than %i columns, with colour or without", (width) => {
		for (const colour of [false, true]) {
			const lines = stripVTControlCharacters(renderReport(hybrid, { width, colour })).split("\n");
			expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
		}
	});
	test("colour adds nothing but colour", () => {
		const coloured = renderReport(hybrid, { colour: true });
		expect(stripVTControlCharacters(coloured)).toBe(renderReport(hybrid));
		expect(coloured).toContain("\u001b[31m\u001b[1moriginal→lp1_funcA ✗");
	});
	test("lines have no trailing spaces", () => {
		expect(renderReport(hybrid)).not.toMatch(/ $/m);
	});
});

describe("other outcomes", () => {
	const calm: Report = { ...hybrid, verdict: "consistent", violations: [], steps: steps.slice(0, 4) };

	test("consistent, as expected", () => {
		expect(renderReport(calm).split("\n").slice(-5).join("\n")).toMatchInlineSnapshot(`
			"      task                        patch_state  funcA      funcB
			      worker/0-1, kwork, sleeper  IDLE         lp2_funcA  lp2_funcB

			 CONSISTENT  as the scenario expects
			  Whatever changed for a task changed when that very task switched."
		`);
	});

	test("tests of a selftest script, with the diff of one that printed something else", () => {
		const tests = [
			{ title: "one", step: 1, ok: true, diff: null },
			{ title: "two", step: 3, ok: false, diff: "--- expected\n+++ result\n@@ -1 +1 @@\n-a\n+b" },
		];
		expect(
			renderReport({ ...calm, asExpected: false, tests })
				.split("\n")
				.slice(-9)
				.join("\n"),
		).toMatchInlineSnapshot(`
			" CONSISTENT  NOT as the scenario expects
			  Whatever changed for a task changed when that very task switched.
			  ok  one
			  not ok  two
			    --- expected
			    +++ result
			    @@ -1 +1 @@
			    -a
			    +b"
		`);
	});

	test("an expectation that does not hold is shown at its step and at the end", () => {
		const text = renderReport({
			...hybrid,
			asExpected: false,
			failures: [{ step: 8, where: "s.yaml:29:5", message: "worker/0: funcB is lp2_funcB, not lp3_funcB" }],
		});
		expect(text.split("\n").filter((line) => line.includes("not lp3_funcB"))).toMatchInlineSnapshot(`
			[
			  "      ✗ worker/0: funcB is lp2_funcB, not lp3_funcB (s.yaml:29:5)",
			  "    step 8: worker/0: funcB is lp2_funcB, not lp3_funcB (s.yaml:29:5)",
			]
		`);
		expect(text).toContain("NOT as the scenario expects");
	});

	test("a step that fails shows its errno", () => {
		const text = renderReport({
			...calm,
			steps: [...calm.steps, { ...steps[3]!, index: 5, action: "insmod lp4", errno: -16 }],
		});
		expect(text).toContain("   5  insmod lp4  -EBUSY");
	});

	test("each invariant has words of its own", () => {
		const violation = (invariant: ReportViolation["invariant"], task: string | null): ReportViolation => ({
			invariant,
			step: 2,
			task,
			func: task === null ? null : "funcA",
			from: task === null ? null : "lp1_funcA",
			to: task === null ? null : "original",
			message: `message of ${invariant}`,
		});
		const text = renderReport({
			...calm,
			verdict: "violated",
			violations: [
				violation("mixed-universe", "worker/0"),
				violation("switched-on-stack", "worker/1"),
				violation("freed-text", "kwork"),
				violation("lost-patch", "sleeper"),
				violation("warn", null),
			],
		});
		expect(text.slice(text.indexOf("   2  settle"), text.indexOf("   3  insmod"))).toMatchInlineSnapshot(`
			"   2  settle
			      lp1  transition 1→0
			      task      patch_state     funcA                 funcB
			      worker/0  UNPATCHED→IDLE  original→lp1_funcA ✗  original
			        └ mixed-universe: neither what was before the transition, nor what comes after it
			      worker/1  UNPATCHED→IDLE  original→lp1_funcA ✗  original
			        └ switched-on-stack: it left lp1_funcA behind, which is still on its stack
			      kwork     UNPATCHED→IDLE  original→lp1_funcA ✗  original
			        └ freed-text: it runs into lp1_funcA that is freed
			      sleeper   UNPATCHED→IDLE  original→lp1_funcA ✗  original
			        └ lost-patch: funcA is original, the design promises lp1_funcA
			      ✗ warn: message of warn

			"
		`);
		expect(text.slice(text.indexOf("VIOLATED"))).toMatchInlineSnapshot(`
			"VIOLATED  as the scenario expects
			  ✗ mixed-universe at step 2, settle: funcA lp1_funcA → original
			    for worker/0
			    message of mixed-universe
			  ✗ switched-on-stack at step 2, settle: funcA lp1_funcA → original
			    for worker/1
			    message of switched-on-stack
			  ✗ freed-text at step 2, settle: funcA lp1_funcA → original
			    for kwork
			    message of freed-text
			  ✗ lost-patch at step 2, settle: funcA lp1_funcA → original
			    for sleeper
			    message of lost-patch
			  ✗ warn at step 2, settle
			    message of warn"
		`);
	});

	test("a violation that is about no function still marks its task", () => {
		const broken: ReportViolation = {
			invariant: "freed-text",
			step: 3,
			task: "kwork",
			func: null,
			from: null,
			to: null,
			message: "returned to 0xffffffffa0000010, unmapped since rmmod lp1",
		};
		const text = renderReport({
			...calm,
			verdict: "violated",
			violations: [broken],
			steps: [steps[1]!, { ...steps[1]!, index: 3 }],
		});
		expect(text).toMatch(/kwork .*\n +└ freed-text: it runs into text that is freed\n/);
	});

	test("forked and exited tasks", () => {
		const { kwork, ...rest } = steps[1]!.tasks;
		const forked = { ...rest, F: kwork! };
		const text = renderReport({
			...calm,
			steps: [...steps.slice(0, 2), { ...steps[1]!, index: 3, action: "x", tasks: forked }],
		});
		expect(text.slice(text.indexOf("   3  x"), text.indexOf("At the end"))).toMatchInlineSnapshot(`
			"   3  x
			      task   patch_state  funcA
			      kwork  IDLE→-       lp1_funcA→-
			        └ exited
			      F      IDLE         lp1_funcA
			        └ forked
			      unchanged: worker/0-1, sleeper

			"
		`);
	});

	test("many tasks and functions still fit", () => {
		const names = Array.from({ length: 40 }, (_, index) => `function_with_a_long_name_${index}`);
		const view = (impl: (name: string) => string) => Object.fromEntries(names.map((name) => [name, impl(name)]));
		const tasks = (impl: (name: string) => string) =>
			Object.fromEntries(
				Array.from({ length: 100 }, (_, index) => [
					`t/${index}`,
					{ patch_state: "IDLE" as const, pending: false, in: null, view: view(impl) },
				]),
			);
		const text = renderReport({
			...calm,
			steps: [{ ...steps[0]!, tasks: tasks((name) => `lp1_${name}`), func_stacks: {} }],
		});
		expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
		for (const name of names) expect(text).toContain(`original→lp1_${name}`);
	});
});

test("colour: terminals only, NO_COLOR and FORCE_COLOR decide", () => {
	const tty = { isTTY: true };
	expect([
		wantsColour({}, tty),
		wantsColour({}, {}),
		wantsColour({ NO_COLOR: "1" }, tty),
		wantsColour({ NO_COLOR: "" }, tty),
		wantsColour({ FORCE_COLOR: "1" }, {}),
		wantsColour({ FORCE_COLOR: "0" }, tty),
		wantsColour({ NO_COLOR: "1", FORCE_COLOR: "1" }, {}),
		wantsColour({ TERM: "dumb" }, tty),
	]).toEqual([true, false, false, true, true, false, true, false]);
});

describe("a step that failed", () => {
	const refused = (dmesg: readonly string[], more: object = {}): Report => ({
		...hybrid,
		verdict: "consistent",
		violations: [],
		asExpected: false,
		steps: [{ ...steps[1]!, index: 1, action: "insmod fix1", errno: -2, dmesg, ...more }],
		failures: [{ step: 1, where: "s.yaml:9:5", message: "the result is -ENOENT, not success" }],
		notRun: 2,
	});

	test("shows what the kernel printed, the hint, and how many steps were not run, without --dmesg", () => {
		const text = renderReport(refused(["fix1: Unknown symbol x (err -2)"], { hints: ["did you mean 'y'?"] }));
		expect(text).toMatch(
			/insmod fix1 {2}-ENOENT\n {6}│ fix1: Unknown symbol x \(err -2\)\n {6}hint: did you mean 'y'\?\n/,
		);
		expect(text).toContain("2 steps behind it were not run (--keep-going runs them)");
	});
	test("equal lines that follow each other are counted", () => {
		const text = renderReport(refused([...Array<string>(500).fill("again"), "once", "again"]));
		expect(text.split("\n").filter((line) => line.includes("│"))).toEqual([
			"      │ again (x 500)",
			"      │ once",
			"      │ again",
		]);
	});
	test("200,000 lines are printed, not spread into one call", () => {
		const lines = Array.from({ length: 200_000 }, (_, index) => `line ${index}`);
		expect(renderReport(refused(lines)).split("\n").length).toBeGreaterThan(200_000);
	});
});

test("switched is said of tasks that switched only, not when a module comes", () => {
	const task = (view: string): ReportTask => ({ patch_state: "IDLE", pending: false, in: null, view: { funcA: view } });
	const of = (switched: boolean) =>
		renderReport({
			...hybrid,
			steps: [
				{ ...steps[1]!, index: 1, tasks: { t: task("absent") } },
				{ ...steps[1]!, index: 2, action: "x", switched: switched ? ["t"] : [], tasks: { t: task("lp1_funcA") } },
			],
		});
	expect(of(false)).toContain("a module came or went; the task did not switch");
	expect(of(true)).toMatch(/└ switched\n/);
});

test("500 functions: those with which the same happens share a line", () => {
	const names = Array.from({ length: 500 }, (_, index) => `many_${index}`);
	const view = Object.fromEntries(names.map((name, index) => [name, `all_${index}`]));
	const task: ReportTask = { patch_state: "PATCHED", pending: false, in: null, view };
	const func_stacks = Object.fromEntries(names.map((name, index) => [name, [`all_${index}`]]));
	const text = renderReport({ ...hybrid, steps: [{ ...steps[0]!, tasks: { t: task }, func_stacks }] }, { width: 80 });
	expect(text.split("\n").length).toBeLessThan(40);
	expect(text).toContain("498 functions likewise: many_10, many_100, ..., many_99");
	expect(text).toContain("IDLE→PATCHED");
});

test("80 columns keep the patch_state before", () => {
	expect(renderReport(hybrid, { width: 80 })).toContain("UNPATCHED→PATCHED");
});

test("refcounts, what cat has read, and which task is inside what", () => {
	const inside: ReportTask = { ...steps[1]!.tasks.sleeper!, in: "funcB" };
	const text = renderReport({
		...hybrid,
		steps: [
			{ ...steps[1]!, index: 1, modules: { lp1: 1, target: 0 } },
			{ ...steps[1]!, index: 2, action: "cat lp1/enabled", modules: { lp1: 0 }, read: "1" },
			{
				...steps[1]!,
				index: 3,
				action: "run 1 round",
				modules: { lp1: 0 },
				tasks: { sleeper: inside },
				inside: { sleeper: ["weigh", "funcB"] },
			},
		],
	});
	expect(text).toMatch(/target {2}loaded, refcount 0\n/);
	expect(text).toMatch(/cat lp1\/enabled\n {6}> 1\n {6}lp1 {2}refcount 1→0\n {6}target {2}unloaded\n/);
	expect(text).toContain("is inside weigh, called by funcB");
	expect(text).toContain("modules: lp1 refcount 0");
});

test("a task whose stack cannot be walked is somewhere in the kernel, or in a function that is known", () => {
	const [, step] = steps;
	const inside = (where: string | null) => {
		const tasks = { sleeper: { ...step!.tasks.sleeper!, in: where } };
		return renderReport({ ...hybrid, steps: [{ ...step!, index: 1, tasks, inside: { sleeper: null } }] });
	};
	expect(inside(null)).toContain("is inside the kernel; its stack cannot be walked reliably");
	expect(inside("funcB")).toContain("is inside funcB; its stack cannot be walked reliably");
});

test("of a long file the first lines, of many violations the first ones, with what changed", () => {
	const read = Array.from({ length: 25 }, (_, index) => `line ${index}`).join("\n");
	const of = (index: number, more: Partial<ReportViolation>): ReportViolation => ({
		...{ invariant: "warn", step: 1, task: `t${index}`, func: null, from: null, to: null, message: `number ${index}` },
		...more,
	});
	const violations = [
		...Array.from({ length: 10 }, (_, index) => of(index, { func: `f${index}` })),
		of(10, { invariant: "stuck" }),
		of(11, { invariant: "lost-patch", func: "funcA", from: "lp1_funcA", to: "original" }),
		of(12, { invariant: "freed-text", from: "lp1_funcA", to: "original" }),
	];
	const text = renderReport({
		...hybrid,
		...{ core: "6.12", violations, notRun: 1 },
		steps: [{ ...steps[1]!, index: 1, action: "cat x", read }],
		failures: [1, 2].map((step) => ({ step, where: "s.yaml:9:5", message: "not so" })),
	});
	expect(text).toContain("      > line 19\n      > ... 5 more lines\n");
	expect(text).toContain("the kernel's own C, Linux 6.12");
	expect(text).toContain("  ✗ warn at step 1, cat x: f7\n");
	expect(text).toContain("  ✗ warn at step 1, 2 more\n");
	expect(text).toContain("  ✗ stuck at step 1, cat x\n");
	expect(text).toContain("  ✗ lost-patch at step 1, cat x: funcA lp1_funcA → original\n");
	expect(text).toContain("  ✗ freed-text at step 1, cat x: lp1_funcA → original\n");
	expect(text).toContain("  2 expectations do not hold:\n");
	expect(text).toContain("  1 step behind it was not run (--keep-going runs them)");
});

test("a report without steps has its head and its verdict", () => {
	const text = renderReport({ ...hybrid, steps: [], violations: [], verdict: "consistent", asExpected: true });
	expect(text).toMatch(/ CONSISTENT {2}?as the scenario expects/);
	expect(text).not.toContain("At the end");
});

test("many func_stacks of one shape: a nop is another one", () => {
	const names = Array.from({ length: 12 }, (_, index) => `f${String(index).padStart(2, "0")}`);
	const func_stacks = Object.fromEntries(names.map((name, index) => [name, index < 6 ? [`lp_${name}`] : ["nop"]]));
	const text = renderReport({ ...hybrid, steps: [{ ...steps[1]!, index: 1, func_stacks }] });
	expect(text).toContain("f00  func_stack [lp_f00]");
	expect(text).toContain("4 functions likewise: f02, f03, f04, f05");
	expect(text).toContain("f06  func_stack [nop]");
	expect(text).toContain("4 functions likewise: f08, f09, f10, f11");
});
