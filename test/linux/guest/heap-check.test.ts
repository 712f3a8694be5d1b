/** Each access of guest code that TypeScript has called lies in one object of the heap, as KASAN wants it. */
import { afterEach, describe, expect, test } from "vitest";
import { runStraight } from "../../../src/linux/lib/index.js";
import { restoreMachine, saveMachine } from "../../../src/machine/index.js";
import { compileModule, createTestMachine, type TestMachine } from "../../support/machine.js";

const SOURCE = `
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
static char *p, *other;
char *q;
noinline static long at(volatile char *object, long offset) { return object[offset]; }
noinline static long u64_at(volatile char *object, long offset) { return *(volatile u64 *)(object + offset); }
noinline static void store_at(volatile char *object, long offset) { object[offset] = 1; }
noinline static void fill_text(long size)
{
	long i;

	for (i = 0; i < size; i++)
		p[i] = 'x';
}
long begin(long size)
{
	p = kmalloc(size, GFP_KERNEL);
	other = kmalloc(size, GFP_KERNEL);
	return 0;
}
long reads(long offset) { return at(p, offset); }
long reads_u64(long offset) { return u64_at(p, offset); }
long writes(long offset) { store_at(p, offset); return 0; }
long fresh(long size) { q = kmalloc(size, GFP_KERNEL); return at(q, size); }
long freed(long offset) { kfree(p); return at(p, offset); }
long grown(long size) { p = krealloc(p, size, GFP_KERNEL); return at(p, size - 1) + at(p, size); }
long shrunk(long size) { p = krealloc(p, size, GFP_KERNEL); return at(p, size - 1) + at(p, size); }
long overrun(long size)
{
	long i, sum = 0;
	for (i = 0; i <= 3000 * size; i++)
		sum += at(p, i / 3000);
	return sum;
}
long prints(long size) { return sprintf(p, "%.*s", (int)size, "0123456789abcdefghijklmnopqrstuvwxyz"); }
long prints_some(long size) { return snprintf(p, size, "%s", "0123456789abcdefghijklmnopqrstuvwxyz"); }
long reads_text(long size)
{
	fill_text(size);
	/* It reads no more than these. */
	printk("%.*s", (int)size, p);
	return printk("%s", p);
}
long fills(long size)
{
	long i;
	for (i = 0; i < size; i++)
		store_at(p, i);
	return 0;
}
MODULE_LICENSE("GPL");
`;

describe.each(["jit", "unicorn"] as const)("on %s", (cpu) => {
	let machine: TestMachine;
	let told: string[];
	afterEach(() => machine.close());

	async function begin(size: number): Promise<(func: string, argument: number) => string[]> {
		machine = await createTestMachine({ cpu, kernel: true });
		expect(machine.insmodC("heaps", await compileModule("heaps", SOURCE))).toBe(0);
		told = [];
		machine.it.observe({ invalidRead: (what) => told.push(what) });
		const run = (func: string, argument: number) => {
			told.length = 0;
			runStraight(machine.it.calls.call(machine.addr(func), BigInt(argument)));
			return [...told];
		};
		expect(run("begin", size)).toEqual([]);
		return run;
	}

	test.each([1, 8, 24, 32, 100, 152, 256, 2048])("an object of %i bytes, on both sides", async (size) => {
		const run = await begin(size);
		expect(run("fills", size)).toEqual([]);
		const object = `the object of ${size} byte${size === 1 ? "" : "s"} that begin+0x`;
		expect(run("reads", size)).toEqual([expect.stringContaining(`reads 1 byte, 0 bytes behind the end of ${object}`)]);
		expect(run("reads", -1)).toEqual([expect.stringContaining(`reads 1 byte, 1 byte before ${object}`)]);
		expect(run("writes", size)).toEqual([
			expect.stringMatching(/^[^ ]+: store_at\+0x\w+ writes 1 byte, 0 bytes behind/),
		]);
		expect(run("writes", -1)).toEqual([expect.stringContaining("writes 1 byte, 1 byte before")]);
		// One byte of eight is outside.
		expect(run("reads_u64", size - 7)).toEqual([expect.stringContaining("reads 8 bytes")]);
		expect(run("reads", size - 1)).toEqual([]);
	});

	test("a large object ends in pages that are not mapped", async () => {
		const run = await begin(5000);
		expect(run("reads", 5000)).toEqual([expect.stringContaining("0 bytes behind the end of the object of 5000 bytes")]);
		expect(() => run("reads", -1)).toThrow("unable to handle page fault");
	});

	test("an object on a new page, a freed one, one that grows in its room", async () => {
		const run = await begin(33);
		for (let i = 0; i < 40; i++) expect(run("fresh", 1000 + i)).toHaveLength(1);
		expect(run("grown", 60)).toEqual([expect.stringContaining("behind the end of the object of 60 bytes")]);
		expect(run("shrunk", 3)).toEqual([expect.stringContaining("0 bytes behind the end of the object of 3 bytes")]);
		expect(run("freed", 8)).toEqual([expect.stringContaining("reads 1 byte of a freed object")]);
	});

	test("the last access of a loop that has run often", async () => {
		const run = await begin(100);
		expect(run("overrun", 100)).toHaveLength(1);
	});

	test("what a kernel function in TypeScript reads and writes for the module", async () => {
		const run = await begin(24);
		expect(run("prints", 23)).toEqual([]);
		expect(run("prints_some", 24)).toEqual([]);
		const object = "behind the end of the object of 24 bytes that begin+0x";
		expect(run("prints", 26)).toEqual([
			expect.stringMatching(/^[^ ]+: s\w*printf\(\) for prints\+0x\w+ writes 27 bytes, the last 3 bytes/),
		]);
		expect(run("prints_some", 26)[0]).toContain(`the last 2 bytes ${object}`);
		// No NUL is in the object.
		expect(run("reads_text", 24)).toEqual([
			expect.stringMatching(/printk\(\) for reads_text\+0x\w+ reads \d+ bytes, the last \d+ bytes? behind/),
		]);
	});

	test("a machine that goes back to a snapshot has the objects of then", async () => {
		const run = await begin(24);
		const saved = saveMachine(machine.it);
		run("fresh", 24);
		const { memory } = machine.it;
		const distance = memory.kaddr(machine.addr("q")) - memory.kaddr(machine.addr("p"));
		expect(run("reads", distance)).toEqual([]);
		restoreMachine(machine.it, saved);
		expect(run("reads", distance)).toEqual([expect.stringContaining("reads 1 byte of a freed object")]);
	});
});
