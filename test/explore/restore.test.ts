/** What the explorer saves, it finds again: scenarios whose states it once could not go back to. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exploreModel, modelOf, PATCHES } from "./support.js";

let folder = "";
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("the function tracer writes its trace, which is no part of a state", async () => {
	const yaml = (tracing_on: string) => `${PATCHES}\ntasks: { worker: { calls: [funcA] } }\nsteps:
  - ${tracing_on}
  - echo: { path: /sys/kernel/tracing/current_tracer, value: function }
  - run: 1`;
	const count = async (tracing_on: string) => {
		const { result, states, transitions } = await exploreModel(await modelOf(yaml(tracing_on)));
		return { result, states, transitions };
	};
	const off = await count("echo: { path: /sys/kernel/tracing/tracing_on, value: 0 }");
	expect(off.result).toBe("complete");
	expect(await count("echo: { path: /sys/kernel/tracing/tracing_on, value: 1 }")).toEqual(off);
});

test("the heap goes back with the module that has an object in it", async () => {
	const source = join(folder, "p.c");
	await writeFile(
		source,
		`#include <linux/module.h>
MODULE_LICENSE("GPL");
struct module *self;
static int p_init(void) { self = THIS_MODULE; return 0; }
static void p_exit(void) { }
module_init(p_init);
module_exit(p_exit);`,
	);
	const yaml = `vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c]
modules: { p: { sources: [${source}] }, q: { sources: [${source}] } }
steps: [{ race: [[{ insmod: p }, { rmmod: p }], [{ insmod: q }]] }]`;
	const { result, violations } = await exploreModel(await modelOf(yaml));
	expect({ result, violations }).toEqual({ result: "complete", violations: [] });
});
