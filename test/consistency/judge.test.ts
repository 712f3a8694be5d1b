/** What the judge says of one step, from views that are written by hand: who, what, from which implementation to which. */
import { describe, expect, test } from "vitest";
import { type JudgedTask, judgeStep, judgeTask } from "../../src/consistency/judge.js";
import type { Look } from "../../src/consistency/look.js";
import type { View } from "../../src/consistency/view.js";

const functions = ["a", "b"].map((name) => ({ name, resolve: () => undefined }));
/** Implementations by name; the code of `original` is 0. */
const view = (...names: string[]): View => ({
	names,
	codes: names.map((name) => (name === "original" ? 0 : name.length * 100 + name.charCodeAt(name.length - 1))),
	ranges: names.map((_, index) => [1000 * (index + 1), 100]),
});
const [BEFORE, AFTER] = [view("original", "original"), view("lp_a", "lp_b")];
/** In the transition from BEFORE to AFTER. `runs`: what a task runs in each patch_state. */
const look = (runs: View, more: Partial<Look> = {}): Look => ({
	views: [runs, runs, runs],
	fromTo: { before: BEFORE, after: AFTER },
	promised: AFTER,
	inTransition: "lp",
	executable: [0, 5000],
	stacks: [[], []],
	...more,
});
const task = (more: Partial<JudgedTask> = {}): JudgedTask => ({
	...{ alive: true, exiting: false, patch_state: 0, entries: [], inside: [], found: [], chosen: undefined },
	...more,
});
const step = (from: Look, to: Look) => ({ functions, from, to, point: "here" });

describe("mixed-universe names the function that is wrong", () => {
	test("a function that is neither as before nor as after: from what it was before, to what it is", () => {
		const mixed = look(view("stranger", "original"));
		expect(judgeTask(step(mixed, mixed), "t", undefined, task())).toEqual([
			{
				...{ invariant: "mixed-universe", task: "t", func: "a", from: "original", to: "stranger" },
				message:
					't runs (stranger, original) from "here" on: neither (original, original) as before the transition nor (lp_a, lp_b) as after it',
			},
		]);
	});
	test("each function is one of the two: one that is still the old one, and what it will be", () => {
		const mixed = look(view("lp_a", "original"));
		const told = { invariant: "mixed-universe", func: "b", from: "original", to: "lp_b" };
		expect(judgeTask(step(mixed, mixed), "t", undefined, task())).toMatchObject([told]);
	});
});

describe("a task that switches", () => {
	const step2 = step(look(BEFORE), look(AFTER, { views: [AFTER, BEFORE, AFTER] }));
	const switched = (more: Partial<JudgedTask>) =>
		judgeTask(step2, "t", task(), task({ patch_state: 1, ...more })).map(({ invariant, message }) => [
			invariant,
			message.replace(/^.*, while /, ""),
		]);
	test.each<[string, Partial<JudgedTask>]>([
		["the original a is on its stack", { inside: [1000] }],
		["the original a is what its trampoline is about to jump to", { chosen: 1000 }],
	])("%s", (message, more) => {
		expect(switched(more)).toEqual([["switched-on-stack", message]]);
	});
	test("with a stack that cannot be walked, it may be inside of each of them", () => {
		expect(switched({ entries: undefined })).toEqual(
			["a", "b"].map((name) => [
				"switched-on-stack",
				`the original ${name} may be on its stack, which cannot be walked`,
			]),
		);
	});
	test("and is in none of them: nothing is broken", () => {
		expect(switched({ inside: [4000] })).toEqual([]);
	});
});

test("freed-text: text that a living task will return to has gone; a dead one returns nowhere", () => {
	const gone = step(look(BEFORE), look(BEFORE, { executable: [0, 3000] }));
	const judge = (one: JudgedTask) => judgeStep(gone, ["t"], [one], [one], false);
	expect(judge(task({ found: [100, 4000] }))).toMatchObject([{ invariant: "freed-text", task: "t" }]);
	expect(judge(task({ found: [100, 2999] }))).toEqual([]);
	expect(judge(task({ found: [4000], alive: false }))).toEqual([]);
	// One that is in the rest of do_exit() still returns.
	expect(judge(task({ found: [4000], exiting: true }))).toMatchObject([{ invariant: "freed-text" }]);
});
