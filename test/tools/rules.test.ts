import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { projectRules, rulesDocument, testTitles } from "../../tools/rules.js";

const RULES = `
- section: 1. First
  source: a.c
  rules:
    "1.1": One.
    "1.2": Two.
`;

test("docs/rules.md is up to date (else: npm run docs:rules), and every rule has a test", () => {
	const { text, problems } = projectRules();
	expect(problems).toEqual([]);
	expect(readFileSync("docs/rules.md", "utf8")).toBe(text);
});

test("titles are found with those of their describes, whatever kind of call they stand in", () => {
	const source = `
		describe("outer", () => {
			describe.each(["a"])("on %s", () => {
				test.each([1])("[rule 1.1] each %i", () => {});
				it(\`plain\`, () => {});
			});
		});
		test(variable, () => {});
		test("[rule 1.2] [rule 1.1] top", () => expect("x").toBe("x"));`;
	expect(testTitles(source, "t.ts").map(({ title }) => title)).toEqual([
		"outer › [rule 1.1] each 1",
		"outer › plain",
		"[rule 1.2] [rule 1.1] top",
	]);
});

test("a title is given once for each row of its table; a placeholder that stays is a problem", () => {
	const source = `test.each([["none", 0], ["all", MAX + 1]])("[rule 1.1] %s: %i", () => {});
		describe.each(LIST)("case $name", () => { test.each(LIST)("[rule 1.2] %s", () => {}); });`;
	const titles = testTitles(source, "t.ts");
	expect(titles.map(({ title }) => title)).toEqual([
		"[rule 1.1] none: 0",
		"[rule 1.1] all: MAX + 1",
		"case › [rule 1.2]",
	]);
	expect(rulesDocument(RULES, [{ file: "t.ts", title: "[rule 1.1] [rule 1.2] %s" }]).problems).toEqual([
		"a placeholder that nothing fills: * `t.ts`: %s",
		"a placeholder that nothing fills: * `t.ts`: %s",
	]);
});

test("each rule with its tests, tags left out", () => {
	const titles = [{ file: "t.ts", title: "outer › [rule 1.1] [rule 1.2] both" }];
	expect(rulesDocument(RULES, titles)).toEqual({
		problems: [],
		text: expect.stringContaining(
			"Source: a.c.\n\n* **1.1** One.\n  * `t.ts`: outer › both\n* **1.2** Two.\n  * `t.ts`: outer › both\n",
		),
	});
});

test("a rule without a test and a tag without a rule are problems", () => {
	const titles = [{ file: "t.ts", title: "[rule 1.1] [rule 7.9] odd" }];
	expect(rulesDocument(RULES, titles).problems).toEqual([
		"t.ts: there is no rule 7.9: [rule 1.1] [rule 7.9] odd",
		"rule 1.2 has no test: Two.",
	]);
});
