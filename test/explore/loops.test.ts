/** Loops around a patched function: those that end are followed to their end, of the others a part, and the explorer says so. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nodeHost } from "../../src/node/index.js";
import { createModel, parseScenario } from "../../src/scenario/index.js";
import { LONG } from "../support/sample.js";
import { exploreModel } from "./support.js";

const LOOP = (inside: string) => `#include <linux/compiler.h>
#include <linux/sched.h>
noinline long loop_work(long x) { barrier(); return x + 1; }
noinline long busy_loop(long x)
{
	for (long i = 0; i < 1000000000; i++) {
		x = loop_work(x);
		${inside}
	}
	return x;
}
`;
/** Each ends after `turns` turns: by a counter in a register, on the stack, by what the function returns, or inside of another loop. */
const FINITE = (turns: number) => `#include <linux/compiler.h>
noinline long loop_work(long x) { barrier(); return x + 1; }
noinline long in_register(long x) { for (long i = 0; i < ${turns}; i++) loop_work(x); return x; }
noinline long on_stack(long x) { for (volatile long i = 0; i < ${turns}; i++) loop_work(x); return x; }
noinline long by_result(long x) { for (x = 0; x < ${turns};) x = loop_work(x); return x; }
noinline long nested(long x) { for (long i = 0; i < ${turns}; i++) for (long j = 0; j < 2; j++) loop_work(x); return x; }
`;
const LP = `__attribute__((__noinline__)) long new_loop_work(long x) { __asm__ __volatile__("" ::: "memory"); return x + 2; }`;
const SCENARIO = `title: t
cpus: 2
vmlinux: [asm/vmlinux/funcs.c, loop.c]
livepatches: { lp: { sources: [lp.c], funcs: { loop_work: new_loop_work } } }
tasks: { vhost: { calls: [busy_loop], kthread: true } }
steps: [{ insmod: lp }, settle]
`;

async function exploreLoop(loop: string, scenario: string, more: Readonly<Record<string, string>> = {}) {
	const folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
	try {
		writeFileSync(join(folder, "loop.c"), loop);
		writeFileSync(join(folder, "lp.c"), LP);
		for (const [name, text] of Object.entries(more)) writeFileSync(join(folder, name), text);
		const file = join(folder, "s.yaml");
		const model = await createModel(parseScenario(scenario, file), { host: nodeHost(file), design: "mainline" });
		return await exploreModel(model);
	} finally {
		rmSync(folder, { recursive: true });
	}
}

const ENDLESS = [
	["", 50],
	["cond_resched();", 50],
] as const;

test.each(LONG ? ENDLESS : ENDLESS.slice(0, 1))(
	"a kthread that never sleeps, with '%s' in its loop: bounded, and the loop is named",
	async (inside, atLeast) => {
		const { result, reason, states } = await exploreLoop(LOOP(inside), SCENARIO);
		expect([result, states > atLeast]).toEqual(["bounded", true]);
		expect(reason).toMatch(/^vhost is at one place .*: not all turns were followed \(.*busy_loop <- kthread/);
	},
);

const CALLS = (call: string) => `title: t
cpus: 1
vmlinux: [asm/vmlinux/funcs.c, loop.c]
livepatches: { lp: { sources: [lp.c], funcs: { loop_work: new_loop_work } } }
tasks: { worker: { calls: [${call}] } }
steps: [{ run: 1 }]
`;

test("loops that nobody can see run in one go, in tasks and in the init of a module", async () => {
	const loop = `#include <linux/compiler.h>
#include <linux/module.h>
noinline long loop_work(long x) { barrier(); return x + 1; }
noinline long alone(long x) { for (volatile long i = 0; i < 30000; i++) { } return loop_work(x); }
`;
	const init = `#include <linux/module.h>
static int __init slow_init(void) { for (volatile long i = 0; i < 30000; i++) { } return 0; }
static void __exit slow_exit(void) { }
module_init(slow_init);
module_exit(slow_exit);
MODULE_LICENSE("GPL");
`;
	const scenario = CALLS("alone")
		.replace("tasks:", "modules: { slow: { sources: [slow.c] } }\ntasks:")
		.replace("{ run: 1 }", "{ insmod: slow }");
	expect(await exploreLoop(loop, scenario, { "slow.c": init })).toMatchObject({ result: "complete", violations: [] });
});

test.each(LONG ? [3, 100] : [3])("loops of %i turns are followed to their end, turn by turn", async (turns) => {
	const depths: Record<string, number> = {};
	for (const call of ["in_register", "on_stack", "by_result", "nested"]) {
		const { result, depth } = await exploreLoop(FINITE(turns), CALLS(call));
		expect(result, call).toBe("complete");
		depths[call] = depth;
	}
	// Each turn: into loop_work(), past its call site, and back. Then into the kernel, and out of it.
	const moves = (calls: number) => 3 * calls + 2;
	const nested = moves(2 * turns);
	expect(depths).toEqual({ in_register: moves(turns), on_stack: moves(turns), by_result: moves(turns), nested });
});
