import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { choicesAt, type JsonSchema, pathAt } from "../../web/src/page/tools/completion.js";

const schema = JSON.parse(readFileSync("schema/scenario.schema.json", "utf8")) as JsonSchema;
const labels = (text: string) => choicesAt(schema, ["mainline", "universe"], text).options.map(({ label }) => label);

test.each([
	["ti", []],
	["tasks:\n  worker:\n    ca", ["tasks", "worker"]],
	["tasks:\n  worker: { ca", ["tasks", "worker"]],
	["steps:\n  - in", ["steps", "[]"]],
	["steps:\n  - insmod: lp1\n  - expect:\n      ta", ["steps", "[]", "expect"]],
	["steps:\n  - expect: { view: { funcA: x }, ta", ["steps", "[]", "expect"]],
	["livepatches:\n  lp1:\n    sources: [a.c]\n    re", ["livepatches", "lp1"]],
	["title: x\nstep", []],
])("the place of %j", (text, path) => {
	const word = /[\w/.-]*$/.exec(text)![0].length;
	expect(pathAt(text.slice(0, text.length - word))).toEqual(path);
});

describe("choices from the schema", () => {
	test("keys, values and designs", () => {
		expect(labels("pre")).toContain("preemption");
		expect(labels("preemption: ")).toEqual(["none", "full"]);
		expect(labels("design: ")).toEqual(["mainline", "universe"]);
		expect(labels("tasks:\n  worker: { ")).toEqual(expect.arrayContaining(["calls", "kthread", "sleeps_in"]));
		expect(labels("steps:\n  - ")).toEqual(expect.arrayContaining(["insmod", "settle", "expect"]));
		expect(labels("steps:\n  - expect: { ")).toEqual(expect.arrayContaining(["task", "view", "patch_state"]));
	});
});
