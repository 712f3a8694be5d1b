/** Guest code that means no good, or is broken: it costs bounded time and memory, ends in an oops that says why, and the machine goes on. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { MAX_LINES } from "../../src/linux/exports/index.js";
import { KERN } from "../../src/linux/lib/index.js";
import { compile, machine, type Session } from "../../src/node/index.js";
import { LONG } from "../support/sample.js";

const CODE = `#include <linux/printk.h>
long price(long x) { return x * 10; }
long flood(long n) { for (long i = 0; i < n; i++) printk("line %ld\\n", i); return n; }
long spin(long x) { for (;;) __asm__ volatile("pause"); }
__attribute__((noinline)) long recurse(long x)
{
	long result = x > 0 ? recurse(x + 1) : 0;
	__asm__ volatile("" : "+r"(result));
	return result + 1;
}
long jump(unsigned long to) { return ((long (*)(void))to)(); }
/** Writes a word at a distance from its frame. */
long store(long at, long value) { *(volatile long *)((char *)__builtin_frame_address(0) + at) = value; return value; }
long fill(long words)
{
	volatile long *top = __builtin_frame_address(0);
	for (long i = 0; i < words; i++) top[i] = 0x4141414141414141;
	return words;
}
long pivot(unsigned long to) { __asm__ volatile("mov %0, %%rsp\\n\\tpush %%rax\\n\\tret" :: "r"(to)); return 0; }
`;

/** Compiled once, for hundreds of machines. */
const folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
const object = join(folder, "hostile.o");
beforeAll(async () => {
	writeFileSync(join(folder, "hostile.c"), CODE);
	writeFileSync(object, (await compile(join(folder, "hostile.c"), {})).bytes);
});
afterAll(() => rmSync(folder, { recursive: true }));

const make = () => machine({ sources: [object], tasks: { other: { calls: ["price"] } } });
let m: Session;
beforeEach(async () => {
	m = await make();
});
afterEach(() => m.close());

/** What a call ends with. The machine goes on without the task. */
function outcome(func: string, ...args: (bigint | number)[]): string {
	const start = process.cpuUsage().user;
	let result: string;
	try {
		result = String(m.call(func, ...args));
	} catch (error) {
		result = (error as Error).message.split("\n")[0]!;
	}
	m.run(3);
	expect(m.state("other").patch_state).toBe("IDLE");
	expect((process.cpuUsage().user - start) / 1e6).toBeLessThan(20);
	return result;
}

describe("guest code that does not come back", () => {
	test("floods dmesg: a call may take so many rounds", () => {
		expect(outcome("flood", 30)).toBe("30");
		expect(outcome("flood", 1e12)).toMatch(/does not return within 10000 rounds/);
		expect(m.dmesg.length).toBeLessThan(200_000);
		// Equal steps of a report do not grow with it.
		expect(m.timeline().length).toBeLessThan(10_000);
	});

	test("dmesg has an end, too: the last line is named", () => {
		const { records } = m.machine.dmesg;
		while (records.length < MAX_LINES - 5) records.push({ level: KERN.INFO, text: "before" });
		expect(() => m.call("flood", 100)).toThrow(/prints without an end: dmesg has 500000 lines, the last is 'line 5'/);
	});

	test("spins", () => {
		expect(outcome("spin", 1)).toMatch(/does not return within 10000 rounds/);
	});
});

test("a stack that overflows is a page fault at the stack's end", () => {
	expect(outcome("recurse", 1)).toMatch(
		/unable to handle page fault for address: 0x[0-9a-f]*f[ef][0-9a-f]+ at recurse\+/,
	);
});

test("a stack that is written away is an oops", () => {
	expect(outcome("fill", 4)).toMatch(/Oops: general protection fault/);
	expect(() => m.call("price", 1)).toThrow(/the task 'caller' has ended, or died in an oops/);
});

const word = fc.oneof(
	fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
	// Near the kernel's text, data and stacks.
	fc.bigInt({ min: 0xffffffff80000000n, max: 0xffffffffffffffffn }),
	fc.constantFrom(0n, 1n, 0x10000n, 0x7fffffffffffn, 0x800000000000n, 0xffff800000000000n, 0xffffffff81000000n),
);

test.each([
	["jumps anywhere", "jump", fc.tuple(word)],
	["takes any address for its stack", "pivot", fc.tuple(word)],
	["writes any word around its stack", "store", fc.tuple(fc.bigInt({ min: -9000n, max: 9000n }), word)],
])("code that %s returns or dies, and says why", (_what, func, args) => {
	return fc.assert(
		fc.asyncProperty(args as fc.Arbitrary<bigint[]>, async (given) => {
			m.close();
			m = await make();
			expect(outcome(func, ...given)).toMatch(/^-?\d+$|Oops: |BUG: unable to handle|does not return within/);
		}),
		{ numRuns: LONG ? 100 : 2, seed: 14 },
	);
});
