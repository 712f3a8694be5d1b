/** Modules in C, and .ko files: their init, exit and callbacks are actors' code, with points where they share memory. */

import { afterAll, expect, test } from "vitest";
import { formatSchedule } from "../../src/explore/index.js";
import { replaySchedule } from "../../src/scenario/index.js";
import { longTest } from "../support/sample.js";
import { OwnSources } from "./support.js";

const HEAD = `#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/mutex.h>
`;
const TAIL = `MODULE_INFO(livepatch, "Y");
MODULE_LICENSE("GPL");
`;
/** The word that the modules share is vmlinux's. `claim`: what they do with it. */
const VMLINUX = `#include <linux/mutex.h>
long claims;
DEFINE_MUTEX(claim_lock);
`;
const BODY =
	"if (READ_ONCE(claims) == 0) { WRITE_ONCE(claims, READ_ONCE(claims) + 1); WARN_ON(READ_ONCE(claims) != 1); }";
const CLAIMS = (claim: string) => `${HEAD}
extern long claims;
extern struct mutex claim_lock;
static int claim(void) { ${claim} return 0; }
module_init(claim);
MODULE_LICENSE("GPL");
`;
const PATCH = (replace: string) => `${HEAD}
static int calls;
static noinline long new_funcA(long x) { return 2; }
static int pre_patch(struct klp_object *obj) { return ++calls == 1 ? 0 : -EINVAL; }
static void post_unpatch(struct klp_object *obj) { WARN_ON(calls != 1); }
static struct klp_func funcs[] = { { .old_name = "funcA", .new_func = new_funcA }, {} };
static struct klp_object objs[] = {
	{ .funcs = funcs, .callbacks = { .pre_patch = pre_patch, .post_unpatch = post_unpatch } }, {}
};
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs${replace} };
static int init(void) { return klp_enable_patch(&patch); }
static void exit(void) {}
module_init(init);
module_exit(exit);
${TAIL}`;

const own = new OwnSources();
afterAll(() => own.close());

async function explore(yaml: string, sources: Readonly<Record<string, string>>) {
	const found = await own.explore(`vmlinux: [asm/vmlinux/funcs.c, shared.c]\n${yaml}`, sources, 100_000);
	const [schedule] = found.schedules;
	return { ...found, replay: schedule && (await replaySchedule(found.scenario, schedule, own.machine)) };
}

const RACE = `modules: { one: { sources: [one.c] }, two: { sources: [two.c] } }
steps: [race: [[insmod: one], [insmod: two]]]
`;

test.each([
	["without a lock", BODY, "violated"],
	["under one lock", `mutex_lock(&claim_lock); ${BODY} mutex_unlock(&claim_lock);`, "complete"],
])("two modules claim one word in their init, %s", async (_, claim, expected) => {
	const { exploration, schedules, replay } = await explore(RACE, {
		"shared.c": VMLINUX,
		"one.c": CLAIMS(claim),
		"two.c": CLAIMS(claim),
	});
	expect([exploration.result, exploration.violations[0]?.broken.invariant]).toEqual([
		expected,
		expected === "violated" ? "warn" : undefined,
	]);
	if (expected === "complete") return;
	// The schedule says which words are points, so that it can be made again.
	expect(schedules[0]!.points).toHaveLength(1);
	expect(replay!.moves.at(-1)!.broken.map(({ invariant }) => invariant)).toEqual(["warn"]);
	// The lines of the C, in the story and beside the moves of the schedule: the second claim sees what the first has written.
	expect(replay!.story).toMatch(/insmod one: init_module\(\) one\.c:8/);
	expect(formatSchedule(schedules[0]!)).toMatch(/^ {2}shell.* # init_module @ one\.c:8 init_module$/m);
	expect(replay!.moves[0]!.places[0]).toMatchObject({ func: "init_module", file: "one.c", line: 8 });
});

longTest("a livepatch in C with callbacks is explored to its end, with a task in the function", async () => {
	const { exploration, judgement } = await explore(
		`livepatches: { lp: { sources: [lp.c] } }
tasks: { worker: { calls: [funcA] } }
steps: [insmod: lp, settle, disable: lp, settle]
`,
		{ "shared.c": VMLINUX, "lp.c": PATCH("") },
	);
	expect([exploration.result, judgement.failures]).toEqual(["complete", []]);
	expect(exploration.states).toBeGreaterThan(100);
});

test.each([
	["whose function has one name", '{ .old_name = "funcA", .new_func = new_funcA }', "complete", undefined],
	[
		"that names its function twice",
		'{ .old_name = "funcE", .new_func = new_funcA }, { .old_name = "funcE_alias", .new_func = new_funcA }',
		"violated",
		"sudden-change",
	],
])(
	"a livepatch in C %s is judged by all invariants, as one of the scenario is",
	async (_, funcs, result, invariant) => {
		const { exploration, replay, schedules } = await explore(
			`livepatches: { lp: { sources: [lp.c] } }
tasks: { worker: { calls: [funcE] } }
steps: [insmod: lp, settle]
`,
			{
				"shared.c": `#include "${process.cwd()}/asm/vmlinux/alias.c"\n`,
				"lp.c": PATCH("").replace('{ .old_name = "funcA", .new_func = new_funcA }', funcs),
			},
		);
		expect([exploration.result, exploration.violations[0]?.broken.invariant]).toEqual([result, invariant]);
		expect(replay?.moves.at(-1)?.broken[0]?.invariant).toBe(invariant);
		// The schedule names them, so that the moves of tasks end at the same places from the first one on.
		const watched = result === "violated" ? ["vmlinux:funcE", "vmlinux:funcE_alias"] : undefined;
		expect(schedules[0]?.watched).toEqual(watched);
	},
);

test("values of memory are state: a third module sees either of two that others have raced for", async () => {
	const { exploration } = await explore(
		`modules: { one: { sources: [one.c] }, two: { sources: [two.c] }, three: { sources: [three.c] } }
steps: [race: [[insmod: one], [insmod: two]], insmod: three]
`,
		{
			"shared.c": VMLINUX,
			"one.c": CLAIMS("WRITE_ONCE(claims, 1);"),
			"two.c": CLAIMS("WRITE_ONCE(claims, 2);"),
			"three.c": CLAIMS("WARN_ON(READ_ONCE(claims) == 1);"),
		},
	);
	expect(exploration.violations[0]?.broken.invariant).toBe("warn");
});

longTest("a .ko is explored", async () => {
	const { exploration, judgement } = await explore(
		`livepatches: { livepatch_sample: { sources: [${process.cwd()}/.cache/kernel-ko/livepatch-sample.ko] } }
tasks: { reader: { calls: [cmdline_proc_show], idle: true } }
steps: [insmod: livepatch_sample, settle, disable: livepatch_sample, settle]
`,
		{ "shared.c": `#include "${process.cwd()}/asm/vmlinux/kernel.c"\n` },
	);
	expect([exploration.result, judgement.failures]).toEqual(["complete", []]);
});

test("a module that needs a clock is refused by the name of what it calls, and not told to wait for ever", async () => {
	const init = `#include <linux/module.h>
long schedule_timeout(long timeout);
static int init(void) { schedule_timeout(3); return 0; }
`;
	const sources = { "shared.c": VMLINUX, "m.c": `${init}module_init(init);\nMODULE_LICENSE("GPL");\n` };
	const found = explore("modules: { m: { sources: [m.c] } }\nsteps: [insmod: m]\n", sources);
	await expect(found).rejects.toMatchObject({
		code: "EXPLORE_UNSUPPORTED",
		message: /shell calls schedule_timeout\(\)/,
	});
});
