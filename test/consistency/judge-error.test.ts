/** Errors of the machine that are violations: which invariant, and which words. */
import { expect, test } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { judgeError, judgeWarnings } from "../../src/consistency/index.js";

test.each([
	["DEADLOCK", { invariant: "deadlock", message: "why" }],
	["GUEST_ENDLESS", { invariant: "deadlock", message: "why" }],
	["GUEST_OOPS", { invariant: "warn", message: "why" }],
	["MEMORY_UNMAPPED", { invariant: "warn", message: "t faults in kernel code: why" }],
	["GUEST_FAULT", { invariant: "warn", message: "t faults in kernel code: why" }],
])("%s", (code, broken) => {
	expect(judgeError(new KlpemuError(code, "why"), "t")).toEqual({ ...broken, task: "t", died: true });
});

test("any other error is no fault of the kernel", () => {
	expect(judgeError(new KlpemuError("SCENARIO_SYNTAX", "why"), "t")).toBeUndefined();
});

test("each WARN_ON is a violation", () => {
	expect(judgeWarnings(["a: b", "c"])).toEqual([
		{ invariant: "warn", message: "WARN_ON in a: b" },
		{ invariant: "warn", message: "WARN_ON in c" },
	]);
});
