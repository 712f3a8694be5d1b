/** Kernel functions that guest code calls: what others can see between such a call and the next access to memory. */
import { afterAll, expect, test } from "vitest";
import { OwnSources } from "./support.js";

const own = new OwnSources();
afterAll(() => own.close());

/** `first`, `second`: what the inits of two modules do, at the same time. */
async function race(first: string, second: string): Promise<(string | undefined)[]> {
	const module = (body: string) => `#include <linux/completion.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
extern long x;
extern struct completion done;
extern struct mutex lock, other;
extern spinlock_t spin;
static int start(void) { ${body} return 0; }
module_init(start);
MODULE_LICENSE("GPL");
`;
	const { exploration } = await own.explore(
		`vmlinux: [asm/vmlinux/kernel.c, shared.c]
modules: { one: { sources: [one.c] }, two: { sources: [two.c] } }
steps: [race: [[insmod: one], [insmod: two]]]
`,
		{
			"shared.c": `#include <linux/completion.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
long x;
struct completion done = { .done = 1 };
DEFINE_MUTEX(lock);
DEFINE_MUTEX(other);
DEFINE_SPINLOCK(spin);
`,
			"one.c": module(first),
			"two.c": module(second),
		},
		20_000,
	);
	return [exploration.result, exploration.violations[0]?.broken.invariant];
}

test.each([
	["used up", "wait_for_completion(&done); WRITE_ONCE(x, 1);", "if (!READ_ONCE(done.done)) WARN_ON(!READ_ONCE(x));"],
	[
		"taken",
		"mutex_lock(&lock); WRITE_ONCE(x, 1); mutex_unlock(&lock);",
		"if (!mutex_trylock(&lock)) WARN_ON(!READ_ONCE(x)); else mutex_unlock(&lock);",
	],
	[
		"held",
		"spin_lock(&spin); WRITE_ONCE(x, 1); spin_unlock(&spin);",
		"if (spin_is_locked(&spin)) WARN_ON(!READ_ONCE(x));",
	],
	[
		"given back",
		"spin_lock(&spin); WRITE_ONCE(x, 1); spin_unlock(&spin); WRITE_ONCE(x, 0);",
		"if (READ_ONCE(x)) WARN_ON(!spin_is_locked(&spin));",
	],
])("what a function has %s is seen before the next access", async (_, first, second) => {
	expect(await race(first, second)).toEqual(["violated", "warn"]);
});

test("two locks that are taken in two orders", async () => {
	const locks = (one: string, two: string) =>
		`mutex_lock(&${one}); mutex_lock(&${two}); mutex_unlock(&${two}); mutex_unlock(&${one});`;
	expect(await race(locks("lock", "other"), locks("other", "lock"))).toEqual(["violated", "deadlock"]);
	expect(await race(locks("lock", "other"), locks("lock", "other"))).toEqual(["complete", undefined]);
});
