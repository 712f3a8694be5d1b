/** Errors of the machine that are violations: which invariant, and which words. */
import { expect, test } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { judgeError, judgeOops, judgeWarnings } from "../../src/consistency/index.js";
import { toU64 } from "../../src/memory/index.js";
import { createTestMachine } from "../support/machine.js";

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

test("a task dies: in text that was unmapped, or of anything else", async () => {
	const machine = await createTestMachine();
	const task = machine.task("t", "funcA");
	task.oops = "BUG: why";
	const replaceA = { old: "funcA", by: "lp1_funcA" };
	// Refused: its memory has been there.
	machine.insmod("lp1", { objects: { vmlinux: [replaceA, replaceA] } });
	const gone = toU64(machine.it.areas.nextModule) - 1n;
	machine.insmod("lp1", { objects: { vmlinux: [replaceA] } });
	const rip = toU64(machine.addr("lp1_funcA"));
	const never = toU64(machine.it.areas.nextModule);
	const fetch = { kind: "page-fault", access: "fetch", address: 0n } as const;
	const broken = [
		judgeOops(machine.it, task, { ...fetch, address: gone }, gone),
		judgeOops(machine.it, task, { ...fetch, address: rip }, rip),
		judgeOops(machine.it, task, { ...fetch, address: never }, never),
		judgeOops(machine.it, task, { kind: "invalid-opcode" }, gone),
	];
	machine.close();
	const freed = `t jumps into unmapped text at 0x${gone.toString(16)}`;
	const warn = { invariant: "warn", task: "t", message: "t dies: BUG: why", died: true };
	expect(broken).toEqual([{ ...warn, invariant: "freed-text", message: freed }, warn, warn, warn]);
});
