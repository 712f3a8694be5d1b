import { expect, test } from "vitest";
import { checkErrno, checkExpectation, type Expectation, fileValue, parseScenario } from "../../src/scenario/index.js";
import { steps } from "../report/hybrid.js";

/** State of the example report while lp3's transition is held up. */
const held = steps.find((step) => step.action === "run 50 rounds")!;
const found = {
	...held,
	calls: new Map([["probe", 2]]),
	trace: ["a-1 [000]: funcA <-funcC", "b-2 [001]: funcB <-funcC"],
	dmesg: ["one", "two", "three"],
};

function expectation(text: string): Expectation {
	const scenario = parseScenario(
		`title: t
vmlinux: [a.c]
livepatches:
  lp1: { sources: [a.c], funcs: {} }
  lp2: { sources: [a.c], funcs: {} }
  lp3: { sources: [a.c], funcs: {} }
ftrace_ops: { probe: { funcs: [funcA] }, quiet: {} }
tasks: { worker: { count: 2 }, sleeper: {}, other: {} }
steps: [settle, expect: ${text}]
`,
		"s.yaml",
	);
	const step = scenario.steps[1]!;
	if (step.kind !== "expect") throw new Error("not an expectation");
	return step.expect;
}

test.each([
	"{ task: worker, patch_state: PATCHED, pending: false, in: null, view: { funcA: original, funcB: lp3_funcB } }",
	"{ task: sleeper, patch_state: UNPATCHED, pending: true, in: lp2_funcB, view: { funcA: lp2_funcA, unpatched: original } }",
	"{ sysfs: { lp1/enabled: 1, lp3/transition: true, lp3/vmlinux/patched: null } }",
	"{ func_stacks: { funcA: [nop, lp2_funcA, lp1_funcA], funcC: [] } }",
	"{ dmesg: [one, three] }",
	"{ calls: { probe: 2, quiet: 0 } }",
	"{ trace: [funcA <-funcC, b-2] }",
])("holds: %s", (text) => {
	expect(checkExpectation(expectation(text), found)).toEqual([]);
});

test.each([
	["lp3/enabeld", /'lp3\/enabeld' can never exist.*\n {2}hint: did you mean 'lp3\/enabled', '[^']*', '[^']*'\?$/],
	["lp3/vmlinux/funcB", /did you mean 'lp3\/vmlinux', /],
	["lp3/vmlinux/funcB,1/patched", /can never exist/],
])("an expectation that %s is not there, which can never be there, is an error", (path, message) => {
	expect(() => expectation(`{ sysfs: { "${path}": null } }`)).toThrow(message);
});

test.each([
	[
		"{ task: worker, patch_state: IDLE }",
		["worker/0: patch_state is PATCHED, not IDLE", "worker/1: patch_state is PATCHED, not IDLE"],
	],
	["{ task: sleeper, pending: false }", ["sleeper: TIF_PATCH_PENDING is set, not clear"]],
	["{ task: sleeper, in: null }", ["sleeper: the function it is in is lp2_funcB, not none"]],
	["{ task: worker/0, in: funcA }", ["worker/0: the function it is in is none, not funcA"]],
	["{ task: worker/0, view: { funcA: lp1_funcA } }", ["worker/0: funcA is original, not lp1_funcA"]],
	["{ task: other, patch_state: IDLE }", ["there is no task other any more"]],
	["{ sysfs: { lp3/transition: 0 } }", ["lp3/transition is 1, not 0"]],
	["{ sysfs: { lp3/enabled: null } }", ["lp3/enabled exists, it should not"]],
	["{ sysfs: { lp3/forced: 0 } }", ["lp3/forced does not exist, not 0"]],
	[
		"{ func_stacks: { funcB: [lp2_funcB, lp3_funcB] } }",
		["func_stack of funcB is [lp3_funcB, lp2_funcB], not [lp2_funcB, lp3_funcB]"],
	],
	["{ calls: { probe: 3 } }", ["probe was called 2 times, not 3"]],
	["{ trace: [funcB, funcA] }", ["the trace lacks (or has in another order): funcA"]],
	["{ trace: [funcA, funcA] }", ["the trace lacks (or has in another order): funcA"]],
	["{ dmesg: [two, one] }", ["dmesg lacks (or has in another order): one"]],
	["{ dmesg: [one, one] }", ["dmesg lacks (or has in another order): one"]],
])("does not hold: %s", (text, failures) => {
	expect(checkExpectation(expectation(text), found)).toEqual(failures);
});

test("errnos in words", () => {
	expect([checkErrno(0, 0), checkErrno(-16, -16)]).toEqual([undefined, undefined]);
	expect([checkErrno(0, -16), checkErrno(-22, 0), checkErrno(-77, -16)]).toEqual([
		"the result is success, not -EBUSY",
		"the result is -EINVAL, not success",
		"the result is -77, not -EBUSY",
	]);
});

test.each([
	["1", 1],
	["-1", -1],
	["18446744073709551615", "18446744073709551615"],
	["0x10", "0x10"],
	["2 of 3", "2 of 3"],
	["", ""],
])("a file of sysfs with '%s' holds %j", (text, value) => {
	expect(fileValue(text)).toBe(value);
});
