/** explore --inevitable: from which move on nothing helps, and which share of what can follow breaks the invariant before that. */
import { readFile } from "node:fs/promises";
import { afterAll, expect, test } from "vitest";
import { INVARIANTS } from "../../src/consistency/index.js";
import type { Outlook } from "../../src/explore/index.js";
import { nodeHost } from "../../src/node/index.js";
import { exploreScenario, parseScenario } from "../../src/scenario/index.js";
import { OwnSources } from "./support.js";

const own = new OwnSources();
afterAll(() => own.close());

const WORK = `#include <linux/module.h>
#include <linux/workqueue.h>
static int ran;
static void work_fn(struct work_struct *w) { ran = 1; }
static DECLARE_WORK(work, work_fn);
static int start(void) { schedule_work(&work); WARN_ON(!ran); return 0; }
module_init(start);
MODULE_LICENSE("GPL");
`;
const YAML = "vmlinux: [asm/vmlinux/kernel.c]\nmodules: { m: { sources: [m.c] } }\nsteps: [insmod: m]\n";

/** insmod queues the work; then either the shell goes on, and warns, or one of two kworkers begins: then again it is one or the other. */
test("a work that may be too late: 1/3 + 2/3 * 1/2", async () => {
	const { exploration, schedules } = await own.explore(YAML, { "m.c": WORK }, 1000, { outlook: true });
	const outlook = exploration.violations[0]!.outlook as Exclude<Outlook, { unknown: string }>;
	expect(schedules[0]!.moves).toHaveLength(2);
	expect(outlook).toMatchObject({ states: 6, after: 2 });
	expect(outlook.error).toBeLessThanOrEqual(1e-6);
	expect(outlook.shares.map((share) => share.toFixed(6))).toEqual(["0.666667", "0.666667", "1.000000"]);
});

test("what needs more states than the budget is unknown, with the reason", async () => {
	const { exploration } = await own.explore(YAML, { "m.c": WORK }, 4, { outlook: true });
	expect(exploration.violations[0]!.outlook).toEqual({
		unknown: expect.stringMatching(/^not all that can follow was seen, \d states$/),
	});
});

test("the RFC breaks the flagship from its first move on, whatever follows", async () => {
	const file = "scenarios/hybrid-lp1-lp2-lp3.yaml";
	const scenario = parseScenario(await readFile(file, "utf8"), file);
	const limits = { budget: 100_000, invariants: new Set(INVARIANTS), all: false, reduction: true, outlook: true };
	const machine = { host: nodeHost(file), design: "rfc-2025" };
	const { exploration, schedules } = await exploreScenario({ scenario, machine, ...limits });
	const outlook = exploration.violations[0]!.outlook as Exclude<Outlook, { unknown: string }>;
	expect([outlook.after, new Set(outlook.shares)]).toEqual([0, new Set([1])]);
	expect(outlook.shares).toHaveLength(schedules[0]!.moves.length + 1);
});
