/** Words that tasks write: wherever their values go, if they decide something the result says so; if they do not, it is complete. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { LONG, sample } from "../support/sample.js";
import { OwnSources } from "./support.js";

let sources: OwnSources;
beforeEach(() => {
	sources = new OwnSources();
});
afterEach(() => sources.close());

const HEAD = `
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/ktime.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#define forced(x) __asm__ __volatile__("" : "+r"(x))
struct stats { long pad, seen, more; };
long flag, calls, slots[8];
int small;
struct stats stats;
char text[16] = "abc";
atomic_t count;
struct stats *object = &stats;
DEFINE_SPINLOCK(lock);
static void expired(struct timer_list *t) { }
DEFINE_TIMER(timer, expired);
noinline long loop_work(long x) { barrier(); return x + 1; }
noinline long other_work(long x) { barrier(); return x + 2; }
noinline long read_flag(void) { barrier(); return READ_ONCE(flag); }
noinline long inner(long x) { barrier(); return x ? loop_work(x) : 0; }
noinline long outer(long a, long x) { barrier(); return inner(x) + a; }
noinline long writer(long x) { WRITE_ONCE(flag, 1); return loop_work(x); }
`;
const LP = (body: string) => `
#include <linux/jiffies.h>
long other_work(long x);
__attribute__((__noinline__)) long new_loop_work(long x) { __asm__ __volatile__("" ::: "memory"); ${body} return x + 2; }`;

async function explored(reader: string, more?: string, livepatch = "") {
	const yaml = `vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c, task.c]
livepatches: { lp: { sources: [lp.c], funcs: { loop_work: new_loop_work } } }
tasks: { worker: { calls: [reader] }${more ?? ""} }
steps: [{ insmod: lp }, settle]
`;
	const texts = { "task.c": `${HEAD}noinline long reader(long x) { ${reader} }`, "lp.c": LP(livepatch) };
	const { exploration } = await sources.explore(yaml, texts, 100_000);
	const { result, reason, states, violations } = exploration;
	return { result, reason, states, told: violations.map(({ broken }) => broken.message) };
}

const OTHER = ", other: { calls: [writer] }";
const DECIDES: readonly (readonly [what: string, word: string, reader: string, more?: string])[] = [
	["what a function returns", "flag", "return read_flag() ? loop_work(x) : x;", OTHER],
	["an argument of two calls", "flag", "return outer(x, READ_ONCE(flag));", OTHER],
	["kept on the stack", "flag", "volatile long v = READ_ONCE(flag); loop_work(x); return v ? loop_work(x) : x;", OTHER],
	[
		"kept in a register over a call",
		"flag",
		"long v = READ_ONCE(flag); x = loop_work(x); forced(v); return v ? loop_work(x) : x;",
		OTHER,
	],
	[
		"compared after many instructions",
		"flag",
		`long v = READ_ONCE(flag);${" forced(x); x += 3; forced(x); x ^= 5;".repeat(6)} return v ? loop_work(x) : x;`,
		OTHER,
	],
	[
		"computed with",
		"flag",
		"long v = READ_ONCE(flag) * 6; forced(v); v -= x & 1; forced(v); v = (v << 3) | 1; loop_work(x); return v & 32 ? loop_work(x) : x;",
		OTHER,
	],
	[
		"a function pointer",
		"flag",
		'long (*f)(long) = loop_work; long v = READ_ONCE(flag); __asm__ volatile("testq %1, %1; cmovne %2, %0" : "+r"(f) : "r"(v), "r"(other_work) : "cc"); return f(x);',
		OTHER,
	],
	["an index", "flag", "volatile long *s = slots; return loop_work(s[READ_ONCE(flag)]);", OTHER],
	["where a write goes", "flag", "slots[READ_ONCE(flag) & 7] = 1; return loop_work(x);", OTHER],
	[
		"setcc",
		"flag",
		'long v = READ_ONCE(flag); unsigned char b; __asm__ volatile("cmpq $1, %1; sete %0" : "=q"(b) : "r"(v) : "cc"); loop_work(x); return b ? loop_work(x) : x;',
		OTHER,
	],
	[
		"adc",
		"flag",
		'long v = READ_ONCE(flag), s = 0; __asm__ volatile("cmpq $1, %1; adcq $0, %0" : "+r"(s) : "r"(v) : "cc"); loop_work(x); return s ? loop_work(x) : x;',
		OTHER,
	],
	[
		"turns of a loop",
		"flag",
		"long n = READ_ONCE(flag) + 2; loop_work(x); for (; n > 0; n--) x = loop_work(x); return x;",
		OTHER,
	],
	["a division", "flag", "long n = READ_ONCE(flag) + 1; x = loop_work(x); forced(n); return 100 / n;", OTHER],
	[
		"a copy of it",
		"stats+0x10",
		"long v = READ_ONCE(flag); loop_work(x); WRITE_ONCE(stats.more, v); loop_work(x); return READ_ONCE(stats.more) ? loop_work(x) : x;",
		OTHER,
	],
	["its own counter", "calls", "long v = ++calls; loop_work(x); if (v == 3) loop_work(x); return x;"],
	["an atomic", "count", "int v = atomic_inc_return(&count); loop_work(x); if (v == 3) loop_work(x); return x;"],
	[
		"a member of a struct",
		"stats+0x8",
		"struct stats *s = object; long v = ++s->seen; loop_work(x); if (v == 2) loop_work(x); return x;",
	],
	["an element of an array", "slots+0x10", "long v = slots[2]++; loop_work(x); if (v == 2) loop_work(x); return x;"],
	["a bit", "flag", "x = loop_work(x); return test_and_set_bit(3, &flag) ? loop_work(x) : x;"],
	[
		"a byte of a string",
		"text+0x1",
		"char t[16]; for (int i = 0; i < 16; i++) t[i] = text[i]; text[1] ^= 3; loop_work(x); return t[1] == 'b' ? loop_work(x) : x;",
	],
	["half of a word", "small", "long v = small++; loop_work(x); return (short)v == 3 ? loop_work(x) : x;"],
];

const named = <T extends readonly (string | undefined)[]>(list: readonly T[]) =>
	list.map((one) => ({ what: one[0], one }));

// Each takes a second or two.
test.each(named(sample(DECIDES, 7)))(
	"a word that tasks write decides: $what",
	async ({ one: [, word, reader, more] }) => {
		const { result, reason } = await explored(reader, more);
		expect([result, reason]).toEqual(["bounded", expect.stringContaining(`writes ${word},`)]);
	},
);

const HARMLESS: readonly (readonly [what: string, reader: string, more?: string])[] = [
	["a count", "calls++; return loop_work(x);"],
	["a count in a register", "long v = READ_ONCE(calls); WRITE_ONCE(calls, v + 1); return loop_work(x);"],
	["an atomic count", "atomic_inc(&count); return loop_work(x);"],
	["a sum", "stats.seen += loop_work(x); return x;"],
	[
		"a copy that nobody looks at",
		"long v = READ_ONCE(flag); x = loop_work(x); WRITE_ONCE(stats.more, v); return x;",
		OTHER,
	],
	["what is returned to user mode", "x = loop_work(x); return x + READ_ONCE(flag);", OTHER],
	[
		"a value that is overwritten",
		"long v = READ_ONCE(flag); forced(v); loop_work(x); v = 3; forced(v); return v ? loop_work(x) : x;",
		OTHER,
	],
];
test.each(named(sample(HARMLESS, 7)))(
	"a word that tasks write decides nothing: $what",
	async ({ one: [, reader, more] }) => {
		expect(await explored(reader, more)).toMatchObject({ result: "complete", reason: undefined, told: [] });
	},
);

test("what a loop adds up for ever decides nothing: complete; once it decides: bounded, with the loop", async () => {
	const loop = (turn: string) => `long sum = 0; for (;;) { sum += loop_work(x); ${turn} }`;
	expect(await explored(loop("forced(sum); cond_resched();"))).toMatchObject({ result: "complete", told: [] });
	// Each of its places is followed for seconds.
	if (!LONG) return;
	const { result, reason } = await explored(loop("if (sum == 777777) other_work(x);"));
	expect(result).toBe("bounded");
	expect(reason).toMatch(/^worker is at one place with more and more different data.*reader/);
});

test("a value that is never there is no violation: a flag that is set only while a function runs", async () => {
	const held = "if (READ_ONCE(flag)) BUG(); WRITE_ONCE(flag, 1); x = loop_work(x); WRITE_ONCE(flag, 0); return x;";
	const { result, reason, told } = await explored(held);
	expect([result, told]).toEqual(["bounded", []]);
	expect(reason).toContain("writes flag,");
});

test("the time is no state: what depends on it is bounded", async () => {
	const late = await explored("return loop_work(x);", "", "if (time_after(jiffies, 100ul)) other_work(x);");
	expect(late.reason).toContain("it reads jiffies, and states hold no time");
	const noted = await explored("return loop_work(x);", "", "x = jiffies;");
	expect(noted).toMatchObject({ result: "complete" });
	const clock = "long now = ktime_get(); x = loop_work(x); return ktime_get() - now > 5 ? loop_work(x) : x;";
	expect((await explored(clock)).reason).toContain("it reads ktime_get, and states hold no time");
});

test("a kernel function that a task calls: what it reads decides, and what it changes is refused by its name", async () => {
	const lock = "if (!spin_trylock(&lock)) other_work(x); x = loop_work(x); spin_unlock(&lock); return x;";
	expect((await explored(lock)).reason).toContain("writes lock,");
	const later = "mod_timer(&timer, 1); return loop_work(x);";
	await expect(explored(later)).rejects.toThrow("worker calls mod_timer(): that cannot be explored");
	expect(await explored('printk("%ld\\n", ++calls); return loop_work(x);')).toMatchObject({ result: "complete" });
});
