import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseElf } from "../../src/elf/index.js";
import { HEADERS_LAYOUT } from "../../src/linux/module/index.js";
import { objectFor } from "../../src/node/gcc.js";
import { sample } from "../support/sample.js";
import { NO_KERNEL_MODULES, skipBecause } from "../support/skip.js";

/** Linux 6.12 for x86-64 without debugging options, worked out from its headers by hand. */
const LAYOUT: Record<string, { size: number; fields: Record<string, number> }> = {
	kobject: { size: 64, fields: { name: 0, entry: 8, parent: 24, kset: 32, ktype: 40, sd: 48, kref: 56 } },
	klp_func: {
		size: 152,
		fields: { old_name: 0, new_func: 8, old_sympos: 16, old_func: 24, kobj: 32, node: 96, stack_node: 112, nop: 144 },
	},
	klp_callbacks: { size: 40, fields: { pre_patch: 0, post_unpatch: 24, post_unpatch_enabled: 32 } },
	klp_object: {
		size: 168,
		fields: { name: 0, funcs: 8, callbacks: 16, kobj: 56, func_list: 120, mod: 152, patched: 161 },
	},
	klp_state: { size: 24, fields: { id: 0, version: 8, data: 16 } },
	klp_patch: {
		size: 200,
		fields: { mod: 0, objs: 8, states: 16, replace: 24, list: 32, kobj: 48, obj_list: 112, forced: 129, finish: 168 },
	},
	kernel_param: { size: 40, fields: { name: 0, mod: 8, ops: 16, perm: 24, level: 26, arg: 32 } },
	delayed_work: { size: 88, fields: { timer: 32, wq: 72, cpu: 80 } },
};

/** Linux's sources, for those who have them: samples and selftests must compile unchanged. */
const KERNEL = process.env.KLPEMU_KERNEL_SOURCE ?? ".cache/linux-source-6.12";
const MODULES = ["samples/livepatch", "tools/testing/selftests/livepatch/test_modules"];

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function compiled(text: string) {
	const path = join(folder, "my-mod.c");
	await writeFile(path, text);
	return parseElf((await objectFor(path)).bytes, "my-mod.o");
}

describe("asm/include", () => {
	it("has the kernel's struct layouts", async () => {
		const asserts = Object.entries(LAYOUT).flatMap(([name, { size, fields }]) => [
			`_Static_assert(sizeof(struct ${name}) == ${size}, "sizeof ${name}");`,
			...Object.entries(fields).map(
				([field, offset]) =>
					`_Static_assert(__builtin_offsetof(struct ${name}, ${field}) == ${offset}, "${name}.${field}");`,
			),
		]);
		await compiled(["#include <linux/livepatch.h>", ...asserts, ""].join("\n"));
	});

	it("has the layout that modules are read with", async () => {
		const asserts = [...HEADERS_LAYOUT.entries].map(([name, value]) => {
			const expression = name.startsWith("sizeof") ? name : `__builtin_offsetof(struct ${name.replace(".", ", ")})`;
			return `_Static_assert(${expression} == ${value}, "${name}");`;
		});
		expect(asserts.length).toBeGreaterThan(20);
		await compiled(["#include <linux/livepatch.h>", ...asserts, ""].join("\n"));
	});

	it("makes a livepatch module that a loader can read", async () => {
		const object = await compiled(`
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/module.h>
#include <linux/livepatch.h>
static int level = 3;
module_param(level, int, 0644);
static long lp_funcA(long x) { return x + level; }
static struct klp_func funcs[] = { { .old_name = "funcA", .new_func = lp_funcA }, { } };
static struct klp_object objs[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs, .replace = true };
static int lp_init(void) { pr_info("%s\\n", __func__); return klp_enable_patch(&patch); }
static void lp_exit(void) { }
module_init(lp_init);
module_exit(lp_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
`);
		const text = (name: string) =>
			Buffer.from(object.sections.find((section) => section.name === name)!.data).toString("latin1");
		expect(text(".modinfo").split("\0").filter(Boolean).sort()).toEqual(["license=GPL", "livepatch=Y"]);
		expect(object.sections.find(({ name }) => name === "__param")!.size).toBe(40);
		const globals = object.symbols.filter(({ binding, section }) => binding === "global" && section !== 0);
		expect(globals.map(({ name }) => name).sort()).toEqual(["cleanup_module", "init_module"]);
		const strings = object.sections.map(({ data }) => Buffer.from(data).toString("latin1")).join("");
		expect(strings).toContain("\x016my_mod: %s\n");
	});

	it("compiles the kernel's livepatch samples and selftest modules unchanged", async ({ skip }) => {
		if (!existsSync(KERNEL)) skipBecause(skip, NO_KERNEL_MODULES);
		const sources: string[] = [];
		for (const place of MODULES) {
			const files = await readdir(join(KERNEL, place));
			sources.push(...files.filter((file) => file.endsWith(".c")).map((file) => join(KERNEL, place, file)));
		}
		expect(sources.length).toBe(18);
		for (const source of sample(sources, 4)) {
			const object = parseElf((await objectFor(source)).bytes, source);
			expect(
				object.symbols.map(({ name }) => name),
				source,
			).toContain("init_module");
		}
	});
});
