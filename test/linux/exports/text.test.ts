/** Functions of the kernel that write text, and krealloc(): results, bounds and bytes, as guest C sees them. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const SOURCE = `
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
MODULE_LICENSE("GPL");
extern long funcA(long x);
static char page[4096] __attribute__((aligned(4096)));
static char buf[64];
noinline long sprintf_all(long x) { return sprintf(buf, "%d-%s", 42, "abc"); }
noinline long snprintf_cut(long x) { return snprintf(buf, 5, "%s", "abcdefgh") * 100 + strlen(buf); }
noinline long snprintf_none(long x) { buf[0] = 'z'; return snprintf(buf, 0, "abc") * 1000 + buf[0]; }
noinline long scnprintf_cut(long x) { return scnprintf(buf, 5, "%s", "abcdefgh") * 100 + strlen(buf); }
noinline long scnprintf_none(long x) { return scnprintf(buf, 0, "abc"); }
noinline long kasprintf_is(long x)
{
	char *text = kasprintf(GFP_KERNEL, "%s/%lx", "a", 255UL);
	long same = !strcmp(text, "a/ff");
	kfree(text);
	return same;
}
noinline long emit_at(long x)
{
	int at = sysfs_emit(page, "one ");
	at += sysfs_emit_at(page, at, "two");
	return at * 10 + !strcmp(page, "one two");
}
noinline long emit_odd(long x) { return sysfs_emit(page + 1, "x"); }
noinline long emit_null(long x) { return sysfs_emit(NULL, "x"); }
noinline long emit_behind(long x) { return sysfs_emit_at(page, 4096, "x"); }
noinline long symbol(long x) { return sprint_symbol(buf, (unsigned long)funcA + 1) > 0 && !strncmp(buf, "funcA+0x1/0x", 12); }
noinline long realloc_grows(long x)
{
	char *a = krealloc(NULL, 8, GFP_KERNEL), *b;
	if (!a)
		return 1;
	strcpy(a, "seven77");
	b = krealloc(a, 2000, GFP_KERNEL);
	if (b == a || strcmp(b, "seven77"))
		return 2;
	if (krealloc(b, 100, GFP_KERNEL) != b)
		return 3;
	return krealloc(b, 0, GFP_KERNEL) == ZERO_SIZE_PTR ? 0 : 4;
}
noinline long realloc_of_zero(long x)
{
	void *a = krealloc(ZERO_SIZE_PTR, 16, GFP_KERNEL);
	kfree(a);
	return a != NULL && a != ZERO_SIZE_PTR;
}
`;

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine({ kernel: true });
	expect(machine.insmodC("texts", await compileModule("texts", SOURCE))).toBe(0);
});
afterEach(() => machine.close());

test.each([
	["sprintf_all", 6],
	["snprintf_cut", 804],
	["snprintf_none", 3122],
	["scnprintf_cut", 404],
	["scnprintf_none", 0],
	["kasprintf_is", 1],
	["emit_at", 71],
	["symbol", 1],
	["realloc_grows", 0],
	["realloc_of_zero", 1],
])("%s(): %i", (func, result) => {
	expect(machine.call(machine.task("t", func), func)).toBe(result);
	expect(machine.it.dmesg.warnings).toEqual([]);
});

test.each(["emit_odd", "emit_null", "emit_behind"])("%s(): nothing is written, with the kernel's WARN", (func) => {
	expect(machine.call(machine.task("t", func), func)).toBe(0);
	// The task calls it again and again.
	expect([...new Set(machine.it.dmesg.warnings)]).toEqual(["invalid sysfs_emit: buf"]);
});
