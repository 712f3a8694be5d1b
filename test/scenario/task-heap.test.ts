/** What tasks execute stays in the objects of the heap, as code does that klpemu calls: on each Cpu, with each core. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodeHost } from "../../src/node/index.js";
import { parseScenario } from "../../src/scenario/index.js";
import { runScenario } from "../../src/scenario/run.js";
import { kernelCore } from "../support/kernel-core.js";

const FUNCTIONS = `
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/slab.h>
static char *object(void)
{
	char *p = kmalloc(20, GFP_KERNEL);

	if (p)
		p[19] = 1;
	return p;
}
long within(long x) { volatile char *p = object(); x += p[19]; kfree((void *)p); return x; }
long reads_behind(long x) { volatile char *p = object(); x += p[20]; kfree((void *)p); return x; }
long writes_before(long x) { volatile char *p = object(); p[-1] = 1; kfree((void *)p); return x; }
long reads_freed(long x) { volatile char *p = object(); kfree((void *)p); return x + p[3]; }
static int thread(void *data)
{
	reads_behind(1);
	return 0;
}
static int begun;
long begins_thread(long x)
{
	if (!begun++)
		kthread_run(thread, NULL, "reader");
	return x;
}
`;

let folder = "";
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
	await writeFile(join(folder, "vmlinux.c"), "long mine(long x) { return x; }\n");
	await writeFile(join(folder, "lp.c"), FUNCTIONS);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const DESIGNS = ["mainline", "the kernel's core"] as const;

describe.each(DESIGNS)("under %s", (design) => {
	describe.each(["jit", "unicorn"])("on %s", (cpu) => {
		test.for([
			["within", []],
			["reads_behind", ["t: reads_behind+0x# reads 1 byte, 0 bytes behind the end of the object of 20 bytes"]],
			["writes_before", ["t: writes_before+0x# writes 1 byte, 1 byte before the object of 20 bytes"]],
			["reads_freed", ["t: reads_freed+0x# reads 1 byte of a freed object"]],
			["begins_thread", ["reader: thread+0x# reads 1 byte, 0 bytes behind the end of the object of 20 bytes"]],
		] as const)("a task's call of %s", async ([func, told], { skip }) => {
			const core = design === "mainline" ? undefined : await kernelCore(skip);
			const file = join(folder, "scenario.yaml");
			const yaml = `
title: the heap
vmlinux: [vmlinux.c]
livepatches: { lp: { sources: [lp.c], funcs: { mine: ${func} } } }
tasks: { t: { calls: [mine] } }
steps: [{ insmod: lp }, settle, { run: 2000 }]
`;
			const options = { host: nodeHost(file), cpu, ...(core && { core }) };
			const report = await runScenario(parseScenario(yaml, file), options);
			const messages = report.violations.map(({ message }) => message);
			// Once, however often the task calls it.
			expect(messages.map((each) => each.replace(/\+0x[^ ]+/, "+0x#").replace(/ that .*/, ""))).toEqual(told);
		});
	});
});
