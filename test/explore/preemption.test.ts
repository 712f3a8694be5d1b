/** A task that loses its CPU on a trampoline, after the handler has chosen and before the jump: no stack shows what it chose. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { exploreModel, modelOf } from "./support.js";

const yaml = readFileSync("scenarios/family/preempted.yaml", "utf8").replace(/^title: .*$/m, "");

test("without kernel preemption it cannot happen", async () => {
	const { result } = await exploreModel(await modelOf(yaml.replace("preemption: full", "preemption: none")));
	expect(result).toBe("complete");
});

test("mainline lets the task switch; it runs the chosen function, whose module may be unloaded", async () => {
	const { violations } = await exploreModel(await modelOf(yaml), { all: true });
	const found = new Map(violations.map(({ broken }) => [broken.invariant, broken.message]));
	expect([...found.keys()]).toEqual(["switched-on-stack", "freed-text"]);
	expect(found.get("switched-on-stack")).toContain("lp1_funcA is what its trampoline is about to jump to");
});

test("universe waits for each task that has entered the function", async () => {
	const { result } = await exploreModel(await modelOf(yaml, "universe"));
	expect(result).toBe("complete");
});
