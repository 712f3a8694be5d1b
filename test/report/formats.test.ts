import { describe, expect, test } from "vitest";
import {
	type Report,
	renderDot,
	renderJunit,
	renderMarkdown,
	renderReport,
	renderStepsKtap,
	renderSvg,
	storyOf,
} from "../../src/report/index.js";
import { hybrid } from "./hybrid.js";

/** A check that XML is well-formed: tags are closed in their order, and attributes and text hold no bare `<` or `&`. */
function expectXml(text: string): void {
	const open: string[] = [];
	const body = text.replace(/^<\?xml[^?]*\?>/, "");
	const tag = /<(\/?)([\w:]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|([^<]+)/gy;
	let at = 0;
	for (const match of body.matchAll(tag)) {
		expect(match.index, body.slice(at, at + 80)).toBe(at);
		at += match[0].length;
		const [, end, name, attributes = "", empty, content = ""] = match;
		expect(`${attributes}${content}`).not.toMatch(/&(?!amp;|lt;|gt;|quot;)/);
		if (name === undefined || empty) continue;
		if (end) expect(open.pop()).toBe(name);
		else open.push(name);
	}
	expect(at).toBe(body.length);
	expect(open).toEqual([]);
}

const hostile: Report = {
	...hybrid,
	scenario: 'a <b> & "c" \u0001',
	asExpected: false,
	failures: [{ step: 1, where: "x.yaml:1:1", message: "1 < 2 & 3 > 2" }],
};

describe("JUnit", () => {
	test("a test case for each step; what the scenario expects is no failure", () => {
		const text = renderJunit({ ...hybrid, asExpected: true });
		expectXml(text);
		expect(text.match(/<testcase /g)).toHaveLength(hybrid.steps.length);
		expect(text).toContain(`<testsuites tests="${hybrid.steps.length}" failures="0">`);
	});
	test("failures and violations that nobody expects, with their reasons", () => {
		const text = renderJunit(hostile);
		expectXml(text);
		const failed = new Set([1, ...hybrid.violations.map(({ step }) => step)]).size;
		expect(text).toContain(`failures="${failed}"`);
		expect(text).toContain("x.yaml:1:1: 1 &lt; 2 &amp; 3 &gt; 2");
		expect(text).toContain("sudden-change: ");
	});
	test("a verdict that the scenario does not expect is a failure, even if all steps are right", () => {
		const text = renderJunit({ ...hybrid, violations: [], failures: [], verdict: "consistent", asExpected: false });
		expectXml(text);
		expect(text).toContain('failures="1"');
		expect(text).toContain("the verdict is consistent, which the scenario does not expect");
	});
});

describe("KTAP of steps", () => {
	const steps = hybrid.steps.length;
	test("ok and not ok, with reasons and totals; the verdict is the last test", () => {
		const good = renderStepsKtap({ ...hybrid, asExpected: true });
		expect(good).toContain(`KTAP version 1\n1..${steps + 1}\nok 1 `);
		expect(good).toContain(`\nok ${steps + 1} violated, as the scenario expects\n`);
		expect(good).toContain(`\n# Totals: pass:${steps + 1} fail:0 skip:0\n`);
		const text = renderStepsKtap(hostile);
		expect(text).toContain("# x.yaml:1:1: 1 < 2 & 3 > 2\nnot ok 1 ");
		expect(text).toContain(`not ok ${steps + 1} violated, not as the scenario expects\n`);
	});
	test("a verdict that the scenario does not expect fails, if all steps are right; steps that were not run are skipped", () => {
		const text = renderStepsKtap({ ...hybrid, violations: [], verdict: "consistent", asExpected: false, notRun: 2 });
		expect(text).toContain(`1..${steps + 3}\n`);
		expect(text).toContain(`ok ${steps + 1} # SKIP a step before it failed\nok ${steps + 2} # SKIP `);
		expect(text).toContain(`not ok ${steps + 3} consistent, not as the scenario expects\n`);
		expect(text).toContain(`# Totals: pass:${steps} fail:1 skip:2\n`);
	});
});

/** Lightness as an eye sees it, 0 to 1 (WCAG 2.2, "relative luminance"): what is left of a colour in grey. */
function luminance(colour: string): number {
	const channels = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255);
	const [red, green, blue] = channels.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)) as number[];
	return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

function contrast(a: string, b: string): number {
	const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
	return (light + 0.05) / (dark + 0.05);
}

describe("an expectation that is for other designs", () => {
	const [first, ...others] = hybrid.steps;
	const skipped = "it is for universe, not for <mainline>";
	const report = { ...hybrid, asExpected: true, steps: [{ ...first!, skipped }, ...others] };

	test("is skipped in KTAP, with the reason, and does not count as passed", () => {
		const text = renderStepsKtap(report);
		expect(text).toMatch(/^ok 1 .* # SKIP it is for universe, not for <mainline>$/m);
		expect(text).toContain(`\n# Totals: pass:${hybrid.steps.length} fail:0 skip:1\n`);
	});
	test("is skipped in JUnit, and so are steps that were not run", () => {
		const text = renderJunit({ ...report, notRun: 2 });
		expectXml(text);
		expect(text).toContain(`<testsuites tests="${hybrid.steps.length + 2}" failures="0" skipped="3">`);
		expect(text).toContain('<skipped message="it is for universe, not for &lt;mainline&gt;"/>');
		expect(text.match(/<skipped message="a step before it failed"\/>/g)).toHaveLength(2);
	});
	test("that breaks an invariant is a failure all the same", () => {
		const violations = [{ ...hybrid.violations[0]!, step: 1 }];
		const text = renderStepsKtap({ ...report, asExpected: false, violations });
		expect(text).toMatch(/^not ok 1 (?!.*SKIP)/m);
	});
	test("is told in the text", () => {
		const step = { ...first!, action: "expect w: PATCHED", skipped };
		expect(renderReport({ ...hybrid, violations: [], failures: [], steps: [step] }, { width: 100 })).toContain(
			`   1  · skipped: ${skipped}`,
		);
	});
});

describe("SVG", () => {
	test("in grey: texts are dark, and the three patch_states differ in lightness and in pattern", () => {
		const text = renderSvg(hybrid);
		const texts = [...text.matchAll(/\bfill: (#[0-9a-f]{6})/g)].map(([, colour]) => colour!);
		expect(texts.length).toBeGreaterThan(1);
		for (const colour of texts) expect(contrast(colour, "#ffffff")).toBeGreaterThan(4.5);
		const legend = [...text.matchAll(/<rect class="bar"[^>]*height="14" fill="([^"]+)"/g)].map(([, fill]) => fill!);
		// IDLE is white, PATCHED dark, and UNPATCHED stripes between the two.
		expect(legend).toEqual(["#ffffff", "url(#unpatched)", expect.stringMatching(/^#/)]);
		expect(contrast(legend[0]!, legend[2]!)).toBeGreaterThan(4.5);
		const stripes = /<pattern id="unpatched".*?<\/pattern>/
			.exec(text)![0]
			.match(/fill="(#[0-9a-f]+)"/g)!
			.map((fill) => fill.slice(6, -1));
		expect(stripes).toHaveLength(2);
		expect(contrast(stripes[0]!, stripes[1]!)).toBeGreaterThan(3);
		// A violation has a mark and a word, not only a colour.
		expect(text).toContain("✗ breaks an invariant");
	});
	test("is well-formed, whatever the texts hold", () => {
		expectXml(renderSvg(hybrid));
		expectXml(renderSvg(hostile));
	});
	test("a bar for each task in each step, a cross for each that breaks an invariant", () => {
		const text = renderSvg(hybrid);
		const rows = hybrid.steps.filter(({ action }) => !action.startsWith("expect "));
		const bars = rows.reduce((sum, { tasks }) => sum + Object.keys(tasks).length, 0);
		expect(text.match(/<rect class="bar"[^>]*width="20" height="22"/g)).toHaveLength(bars);
		const broken = new Set(hybrid.violations.map(({ step, task }) => `${step} ${task}`)).size;
		expect(text.match(/<text class="bad"/g)).toHaveLength(broken);
	});
});

describe("Markdown", () => {
	test("a heading, numbered steps with their effects, the verdict, and each broken invariant", () => {
		const text = renderMarkdown(storyOf(hybrid));
		expect(text).toMatch(/^# .+\n\ndesign .+\n\n1\. insmod lp1\n {3}- func_stack of funcA: lp1_funcA\n/);
		expect(text).toContain("- **sudden-change**: ");
		expect(text).not.toContain(". expect ");
	});
	test("texts are no marks", () => {
		const text = renderMarkdown({ title: "*a* <b>\n# c", setting: "", steps: [], verdict: "_x_", broken: [] });
		expect(text).toBe("# \\*a\\* \\<b> # c\n\n\n\n**\\_x\\_**\n");
	});
});

/** A part of the grammar of DOT (graphviz.org): the statements that renderDot() writes. Returns nodes and edges with their labels. */
function parseDot(text: string) {
	const id = String.raw`"((?:[^"\\]|\\.)*)"`;
	const attributes = String.raw`\[((?:\w+=(?:"(?:[^"\\]|\\.)*"|[\w#.-]+)(?:, )?)+)\]`;
	const lines = text.trimEnd().split("\n");
	expect(lines[0]).toMatch(new RegExp(`^digraph ${id} \\{$`));
	expect(lines.at(-1)).toBe("}");
	const nodes = new Map<string, string>();
	const edges: [string, string, string][] = [];
	for (const line of lines.slice(3, -1)) {
		const [, from, to, more] = new RegExp(`^  ${id}(?: -> ${id})? ${attributes};$`).exec(line)!;
		const label = /label="((?:[^"\\]|\\.)*)"/.exec(more!)![1]!;
		if (to === undefined) nodes.set(from!, label);
		else edges.push([from!, to, label]);
	}
	for (const [from, to] of edges) expect(nodes.has(from) && nodes.has(to)).toBe(true);
	return { nodes, edges };
}

test("DOT: each text is one string of the language", () => {
	const states = new Map([
		["0", { lines: ['a "quoted"\\', "b\nc"] }],
		["end 1", { lines: ["stuck"] }],
	]);
	const moves = [{ from: "0", to: "end 1", label: 'x "y"', broken: ["stuck"] }];
	const { nodes, edges } = parseDot(renderDot({ title: '"t"', states, moves }));
	expect([...nodes]).toEqual([
		["0", 'a \\"quoted\\"\\\\\\lb c\\l'],
		["end 1", "stuck"],
	]);
	expect(edges).toEqual([["0", "end 1", 'x \\"y\\"\\lbreaks stuck\\l']]);
});
