/** Loops that count: their turns look alike, and the explorer follows a part of them. It says so. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nodeHost } from "../../src/node/index.js";
import { createModel, parseScenario } from "../../src/scenario/index.js";
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
const LP = `__attribute__((__noinline__)) long new_loop_work(long x) { __asm__ __volatile__("" ::: "memory"); return x + 2; }`;
const SCENARIO = `title: t
cpus: 2
vmlinux: [asm/vmlinux/funcs.c, loop.c]
livepatches: { lp: { sources: [lp.c], funcs: { loop_work: new_loop_work } } }
tasks: { vhost: { calls: [busy_loop], kthread: true } }
steps: [{ insmod: lp }, settle]
`;

test.each([
	["cond_resched();", 50],
	["", 50],
])(
	"a kthread that never sleeps, with '%s' in its loop: bounded, and the loop is named",
	async (inside, atLeast) => {
		const folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
		try {
			writeFileSync(join(folder, "loop.c"), LOOP(inside));
			writeFileSync(join(folder, "lp.c"), LP);
			const file = join(folder, "s.yaml");
			const model = await createModel(parseScenario(SCENARIO, file), { host: nodeHost(file), design: "mainline" });
			const { result, reason, states } = await exploreModel(model);
			expect([result, states > atLeast]).toEqual(["bounded", true]);
			expect(reason).toMatch(/^vhost is at one place .*: not all turns were followed \(.*busy_loop <- kthread/);
		} finally {
			rmSync(folder, { recursive: true });
		}
	},
	60_000,
);
