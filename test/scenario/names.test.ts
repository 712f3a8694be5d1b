/** Names of functions and tasks: modules that come later, tasks that come again, functions of a C livepatch, arguments of calls. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CPU_NAMES, nodeHost } from "../../src/node/index.js";
import type { Report } from "../../src/report/index.js";
import { parseScenario, runScenario } from "../../src/scenario/index.js";

let folder = "";
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
	await writeFile(
		join(folder, "mod.c"),
		`__attribute__((noinline)) long in_mod(long x) { __asm__ volatile(""); return x + 1; }
long six(long a, long b, long c, long d, long e, long f) { return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f; }
`,
	);
	await writeFile(
		join(folder, "fix.c"),
		`#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
static long fix_in_mod(long x) { return x + 100; }
static struct klp_func funcs[] = { { .old_name = "in_mod", .new_func = fix_in_mod }, { } };
static struct klp_object objs[] = { { .name = "some_mod", .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int fix_init(void) { return klp_enable_patch(&patch); }
module_init(fix_init);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
`,
	);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("a parameter decides a field that the design adds to a C livepatch", async () => {
	const file = join(folder, "scenario.yaml");
	const yaml = (value: string) => `title: test
design: rfc-2025
vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c]
livepatches: { fix: { sources: [fix.c] } }
steps: [{ insmod: { module: fix, params: { replaceable: ${value} } } }, settle]
`;
	for (const value of [0, 1]) {
		const report = await runScenario(parseScenario(yaml(String(value)), file), { host: nodeHost(file) });
		expect(report.steps.at(-1)!.sysfs["fix/replaceable"]).toBe(value);
	}
});

async function run(steps: string, cpu = "jit"): Promise<Report> {
	const file = join(folder, "scenario.yaml");
	const yaml = `title: test
vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c]
modules: { some_mod: { sources: [mod.c] } }
livepatches: { fix: { sources: [fix.c] } }
tasks:
  later: { calls: [in_mod], idle: true }
  worker: { calls: [funcA] }
steps:
${steps}
`;
	return runScenario(parseScenario(yaml, file), { host: nodeHost(file), cpu });
}
const messages = (report: Report) => report.failures.map(({ message }) => message);

test.each(CPU_NAMES)("%s: call takes up to six arguments; without, the pid is the first one", async (cpu) => {
	const report = await run(
		`
  - insmod: some_mod
  - call: { task: worker, func: six, args: [1, 2, 3, 4, 5, 6], value: 654321 }
  - call: { task: worker, func: in_mod, args: [-5], value: -4 }
  - call: { task: worker, func: in_mod, args: [0xffffffffffffffff], value: 0 }
  - call: { task: worker, func: in_mod, value: 5 }
`,
		cpu,
	);
	expect(messages(report)).toEqual([]);
});

test.each([
	["value: 0x10000000000000000", "'step 1: call.value' must be a whole number of 64 bits"],
	["value: -9223372036854775809", "'step 1: call.value' must be a whole number of 64 bits"],
	["args: [1, 0x10000000000000000]", "'step 1: call.args[1]' must be a whole number of 64 bits"],
	["args: [1, 2, 3, 4, 5, 6, 7]", "'step 1: call.args' must be a list of at most 6 numbers"],
])("call with %s is refused", async (more, message) => {
	await expect(run(`  - call: { task: worker, func: funcA, ${more} }`)).rejects.toThrow(message);
});

test("a task calls a function of a module that comes later; before that, an error names the line", async () => {
	const good = await run("  - insmod: some_mod\n  - wake: later\n  - run: 20\n");
	expect(messages(good)).toEqual([]);
	const bad = await run("  - wake: later\n  - run: 20\n");
	expect(bad.failures[0]!.where).toMatch(/:10:5$/);
	expect(messages(bad)[0]).toMatch(
		/^task 'later' calls 'in_mod', which is in a module that is not loaded now \(.*:6:20; /,
	);
});

test("the name of a task can be used again after it has exited", async () => {
	const fork = "  - fork: { parent: worker, child: child, calls: [funcA] }\n";
	const report = await run(`${fork}  - exit: child\n${fork}  - call: { task: child, func: funcA }\n`);
	expect(messages(report)).toEqual([]);
	expect(Object.keys(report.steps.at(-1)!.tasks)).toContain("child");
	await expect(run(fork + fork)).rejects.toThrow("there already are tasks 'child'");
	await expect(run(`${fork}  - exit: child\n  - wake: child\n`)).rejects.toThrow("the task 'child' has exited");
});

test("a C livepatch's function of a module has its plain name, and answers to the one with its object", async () => {
	const report = await run(`
  - insmod: some_mod
  - insmod: fix
  - settle
  - expect: { task: worker, view: { in_mod: fix_in_mod } }
  - expect: { func_stacks: { "some_mod:in_mod": [fix_in_mod] } }
  - expect: { task: worker, view: { in_mod: original } }
  - expect: { func_stacks: { in_mod: [] } }
`);
	expect(report.steps.at(-1)!.func_stacks).toEqual({ in_mod: ["fix_in_mod"] });
	expect(messages(report)).toEqual([
		"worker: in_mod is fix_in_mod, not original",
		"func_stack of in_mod is [fix_in_mod], not []",
	]);
});

test("an expectation of a function that its object does not have fails", async () => {
	const report = await run('  - insmod: some_mod\n  - expect: { func_stacks: { "some_mod:funcA": [] } }\n');
	expect(messages(report)).toEqual(["'some_mod' has no function 'funcA'"]);
	await expect(run("  - expect: { func_stacks: { funcX: [] } }\n")).rejects.toThrow("did you mean 'funcA'?");
	await expect(run('  - expect: { func_stacks: { "other:funcA": [] } }\n')).rejects.toThrow(
		"unknown livepatch or module",
	);
});
