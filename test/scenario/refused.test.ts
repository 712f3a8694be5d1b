/** A step that does not end as the scenario says: what the report tells of it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { nodeHost } from "../../src/node/index.js";
import type { Report } from "../../src/report/index.js";
import { parseScenario, runScenario } from "../../src/scenario/index.js";

const VMLINUX = ["asm/vmlinux/funcs.c", "asm/vmlinux/kernel.c"];
let folder = "";
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
	const source = (called: string, patched: string) => `
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
extern long ${called}(long);
static long fix(long x) { return ${called}(x); }
static struct klp_func funcs[] = { { .old_name = "${patched}", .new_func = fix }, { } };
static struct klp_object objs[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int lp_init(void) { return klp_enable_patch(&patch); }
module_init(lp_init);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
`;
	await writeFile(join(folder, "symbol.c"), source("weihg", "funcA"));
	await writeFile(join(folder, "function.c"), source("weigh", "funcAA"));
	await writeFile(
		join(folder, "plain.c"),
		`${source("weigh", "funcA")}char copy[8];\nvoid *f(void) { return memset(copy, 1, 8); }`,
	);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function run(steps: string, stopAtFailure = true, vmlinux = VMLINUX): Promise<Report> {
	const file = join(folder, "scenario.yaml");
	const yaml = `
title: test
vmlinux: [${vmlinux.join(", ")}]
livepatches:
  plain: { sources: [plain.c] }
  symbol: { sources: [symbol.c] }
  function: { sources: [function.c] }
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
tasks:
  worker: { calls: [funcB] }
  stuck: { calls: [funcA], sleeps_in: funcA }
steps:
${steps}
`;
	return runScenario(parseScenario(yaml, file), { host: nodeHost(file), stopAtFailure });
}

test("a symbol and a function that are not there: hints say what was meant", async () => {
	const report = await run("  - insmod: symbol\n  - insmod: function\n", false);
	expect(report.steps.map(({ errno }) => errno)).toEqual([-2, -22]);
	expect(report.steps[0]!.hints!.join()).toContain("did you mean 'weigh'?");
	expect(report.steps[1]!.hints!.join()).toContain("did you mean 'funcA'?");
});

test("what modules in C use is not there without asm/vmlinux/kernel.c: a hint says so", async () => {
	const report = await run("  - insmod: plain\n", true, VMLINUX.slice(0, 1));
	expect(report.steps[0]!.hints).toEqual([
		expect.stringContaining("has a symbol 'memset'"),
		expect.stringContaining("vmlinux is without asm/vmlinux/kernel.c"),
	]);
});

test("steps behind an unexpected failure are not run, unless that is asked for", async () => {
	const steps = "  - insmod: function\n  - insmod: lp1\n  - settle\n";
	const stopped = await run(steps);
	expect([stopped.steps.length, stopped.notRun, stopped.asExpected]).toEqual([1, 2, false]);
	const all = await run(steps, false);
	expect([all.steps.length, all.notRun, all.asExpected]).toEqual([3, 0, false]);
	const expected = await run(steps.replace("insmod: function", "{ insmod: function, errno: EINVAL }"));
	expect([expected.steps.length, expected.notRun, expected.asExpected]).toEqual([3, 0, true]);
});

test("a settle that does not end says which task holds it up, where, and since when", async () => {
	const report = await run(`
  - run: { task: stuck }
  - insmod: lp1
  - settle: { rounds: 300 }
  - rmmod: lp1
`);
	const message = report.failures.map((failure) => failure.message).join();
	expect(message).toContain("that of 'lp1' runs since step 2, insmod lp1");
	expect(message).toContain("stuck sleeps in funcA (since step 1, run stuck until asleep)");
	expect(message).not.toContain("worker");
	expect(report.notRun).toBe(1);
});

test("the report has refcounts, what cat read, which tasks switched, and what is on their stacks", async () => {
	const report = await run(`
  - run: { task: stuck }
  - insmod: lp1
  - run: 100
  - cat: lp1/enabled
  - cat: { path: /sys/module/lp1/refcnt, grep: "7" }
`);
	const [, insmod, rounds, cat] = report.steps;
	expect(insmod!.modules).toEqual({ lp1: 1 });
	expect(cat!.read).toBe("1");
	expect(rounds!.inside!.stuck).toEqual(["funcA"]);
	expect(report.steps.flatMap(({ switched }) => switched)).toEqual(["worker"]);
	// A grep that matches nothing fails.
	expect(report.failures.map(({ message }) => message)).toEqual(["no line of /sys/module/lp1/refcnt has '7'"]);
});
