import { describe, expect, test } from "vitest";
import { type Report, renderJunit, renderStepsKtap, renderSvg } from "../../src/report/index.js";
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

describe("SVG", () => {
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
