/** Data in memory that tasks read and write: followed if actors write it; never `complete` with the values of one run. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { OwnSources } from "./support.js";

let sources: OwnSources;
beforeEach(() => {
	sources = new OwnSources();
});
afterEach(() => sources.close());

const HEAD = `
#include <linux/compiler.h>
#include <linux/bug.h>
#include <linux/processor.h>
#include <linux/sched.h>
int flag, calls;
noinline long loop_work(long x) { barrier(); return x + 1; }
`;
const LP = `__attribute__((__noinline__)) long new_loop_work(long x) { __asm__ __volatile__("" ::: "memory"); return x + 2; }`;
/** Its init writes the flag. */
const SETTER = `
#include <linux/module.h>
extern int flag;
static int __init setter_init(void) { WRITE_ONCE(flag, 1); return 0; }
static void __exit setter_exit(void) { }
module_init(setter_init);
module_exit(setter_exit);
MODULE_LICENSE("GPL");
`;

async function explored(body: string, calls: string, steps: string) {
	const yaml = `vmlinux: [asm/vmlinux/funcs.c, task.c]
modules: { setter: { sources: [setter.c] } }
livepatches: { lp: { sources: [lp.c], funcs: { loop_work: new_loop_work } } }
tasks: { ${calls} }
steps: ${steps}
`;
	const texts = { "task.c": HEAD + body, "lp.c": LP, "setter.c": SETTER };
	const { exploration } = await sources.explore(yaml, texts, 100_000);
	return { ...exploration, told: exploration.violations.map(({ broken }) => broken.invariant) };
}

const WORKER = "worker: { calls: [reader] }";
const RACE = "[{ insmod: setter }]";

test("a branch on a word that an init writes is followed both ways, also between two reads", async () => {
	const twice = (second: string) =>
		`noinline long reader(long x) { if (!READ_ONCE(flag) && READ_ONCE(flag)) { ${second} } return loop_work(x); }`;
	expect(await explored(twice("barrier();"), WORKER, RACE)).toMatchObject({ result: "complete", reason: undefined });
	expect((await explored(twice("BUG();"), WORKER, RACE)).told).toEqual(["warn"]);
	// Nobody else runs between two instructions: one read has one value.
	const once = "noinline long reader(long x) { int f = READ_ONCE(flag); if (!f && f) BUG(); return loop_work(x); }";
	expect(await explored(once, WORKER, RACE)).toMatchObject({ result: "complete" });
});

const POLL = "noinline long reader(long x) { x = loop_work(x); while (!READ_ONCE(flag)) cpu_relax(); return x; }";

test("a loop that polls what an init writes is one state, and ends when it is written", async () => {
	expect(await explored(POLL, WORKER, RACE)).toMatchObject({ result: "complete", reason: undefined });
});

test("a loop that polls what nobody writes holds a transition up for ever", async () => {
	const inside = "noinline long reader(long x) { while (!READ_ONCE(flag)) cpu_relax(); return x; }";
	expect((await explored(inside, WORKER, "[{ insmod: lp }, settle]")).told).toEqual(["stuck"]);
});

test("schedule() without set_current_state() is no sleep: what comes behind it runs, in a task and in a kthread", async () => {
	const behind = "noinline long reader(long x) { schedule(); BUG(); return loop_work(x); }";
	expect((await explored(behind, WORKER, "[{ insmod: lp }]")).told).toEqual(["warn"]);
	const kthread = "worker: { calls: [reader], kthread: true }";
	expect((await explored(behind, kthread, "[{ insmod: lp }]")).told).toEqual(["warn"]);
	const poll = POLL.replace("cpu_relax", "schedule");
	expect(await explored(poll, kthread, RACE)).toMatchObject({ result: "complete", reason: undefined });
	// On no CPU, it holds no transition up.
	const inside = "noinline long reader(long x) { while (!READ_ONCE(flag)) schedule(); return x; }";
	expect(await explored(inside, WORKER, "[{ insmod: lp }, settle]")).toMatchObject({ result: "complete" });
});

test("what tasks write and read: bounded, with its name", async () => {
	const body = `
noinline long writer(long x) { WRITE_ONCE(flag, 1); return loop_work(x); }
noinline long reader(long x) { return READ_ONCE(flag) ? loop_work(x) : x; }`;
	const { result, reason } = await explored(body, `${WORKER}, other: { calls: [writer] }`, "[{ insmod: lp }, settle]");
	expect(result).toBe("bounded");
	expect(reason).toMatch(/goes on with the values of one run: code that tasks run writes flag, and somebody reads it/);
});

test("a count that a branch is about: bounded; one that nobody looks at: complete", async () => {
	const steps = "[{ insmod: lp }, settle]";
	const decides = "noinline long reader(long x) { if (++calls == 3) loop_work(x); return loop_work(x); }";
	expect(await explored(decides, WORKER, steps)).toMatchObject({ result: "bounded" });
	// A number that is made of it, without a branch, and given to user mode.
	const computes = "noinline long reader(long x) { return loop_work(x) + (++calls == 3); }";
	expect(await explored(computes, WORKER, steps)).toMatchObject({ result: "complete" });
	const counts = "noinline long reader(long x) { calls++; return loop_work(x); }";
	expect(await explored(counts, WORKER, steps)).toMatchObject({ result: "complete" });
});

test("a loop without a call that never ends: bounded, with its function", async () => {
	const body = "noinline long reader(long x) { for (volatile long i = 0; ; i++) { } return loop_work(x); }";
	const { result, reason } = await explored(body, WORKER, "[{ insmod: lp }]");
	expect(result).toBe("bounded");
	expect(reason).toMatch(/^worker runs for more than 1000000 instructions without a call: .*\(reader/);
});
