/** Each step has the same effect by `run` and by the explorer, or says why the explorer leaves it out. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { definitionOf, STEPS } from "../../../src/scenario/steps/index.js";
import { Bench } from "./both.js";

let bench: Bench;
beforeAll(async () => {
	bench = await Bench.create();
});
afterAll(() => bench.close());

const scenario = (steps: string) => `
title: t${steps.includes("test:") ? "\nselftest: transcript.txt" : ""}
cpus: 2
vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c]
modules:
  some_mod: { sources: [mod.o] }${steps.includes("picky") ? "\n  picky: { sources: [picky.o] }" : ""}${steps.includes("tracers") ? "\n  tracers: { sources: [asm/modules/tracers.c] }" : ""}
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
  lp2: { sources: [asm/livepatches/lp2.c], objects: { vmlinux: { funcB: lp2_funcB }, some_mod: { in_mod: lp2_funcA } } }
ftrace_ops:
  probe: { funcs: [funcA] }
  everywhere: { flags: [SAVE_REGS] }${steps.includes("straight") ? "\n  straight: { funcs: [funcA], direct: direct_tramp }" : ""}
tasks:
  idler: { idle: true }
  sleeper: { calls: [funcA], sleeps_in: funcA, idle: true }
steps: [${steps}]
`;

/** By step, what it is tried in: the lists of steps that both make. */
const CASES: Record<(typeof STEPS)[number]["kind"], readonly string[]> = {
	insmod: [
		"{ insmod: lp1 }, settle, { insmod: some_mod }, { insmod: lp2 }, settle",
		"{ insmod: { module: picky, params: { refuse: 1 } }, errno: EBUSY }",
		"{ insmod: { module: picky, params: { refuse: 0 } } }, { insmod: picky, errno: EEXIST }",
	],
	rmmod: ["{ insmod: some_mod }, { rmmod: some_mod }, { rmmod: some_mod, errno: ENOENT }"],
	settle: ["{ insmod: lp1 }, settle, { disable: lp1 }, { settle: { rounds: 500 } }"],
	run: [
		"{ wake: sleeper }, { run: { task: sleeper } }, { insmod: lp1 }, { wake: sleeper }, settle",
		"{ insmod: lp1 }, { run: 50 }, settle",
	],
	sleep: ["{ insmod: lp1 }, settle, { sleep: 0.1 }"],
	disable: ["{ insmod: lp1 }, settle, { disable: lp1 }, settle, { rmmod: lp1 }"],
	enable: [
		"{ wake: sleeper }, { run: { task: sleeper } }, { insmod: lp1 }, { disable: lp1 }, { enable: lp1 }, { wake: sleeper }, settle",
		"{ insmod: lp1 }, settle, { enable: lp1, errno: EINVAL }",
	],
	reverse: [
		"{ wake: sleeper }, { run: { task: sleeper } }, { insmod: lp1 }, reverse, { wake: sleeper }, settle",
		"{ reverse: lp1, errno: ENOENT }",
	],
	force: [
		"{ wake: sleeper }, { run: { task: sleeper } }, { insmod: lp1 }, force, settle",
		"{ force: lp1, errno: ENOENT }",
	],
	echo: [
		"{ insmod: lp1 }, settle, { echo: { path: lp1/enabled, value: 0 } }, settle",
		"{ echo: { path: /sys/kernel/tracing/set_ftrace_filter, value: funcA } }, { echo: { path: /sys/kernel/tracing/current_tracer, value: function } }, { insmod: lp1 }, settle",
		"{ echo: { path: /sys/kernel/tracing/current_tracer, value: nonsense }, errno: EINVAL }",
	],
	cat: [
		"{ insmod: lp1 }, settle, { cat: { path: lp1/enabled, value: 1 } }",
		"{ insmod: lp1 }, settle, { cat: { path: lp1/transition, to: lp1/enabled } }, settle",
	],
	stat: ["{ insmod: lp1 }, settle, { stat: { path: lp1/enabled, rights: -rw-r--r-- } }"],
	sysctl: [
		"{ sysctl: kernel.ftrace_enabled=0 }, { insmod: lp1, errno: EBUSY }, { sysctl: kernel.ftrace_enabled=1 }",
		"{ register: probe }, { sysctl: kernel.ftrace_enabled=0 }",
		"{ sysctl: kernel.nothing=1, errno: ENOENT }",
	],
	register: [
		"{ register: probe }, { register: probe, errno: EBUSY }, { register: everywhere }, { insmod: lp1 }, settle",
	],
	unregister: [
		"{ unregister: probe, errno: EINVAL }, { register: everywhere }, { register: probe }, { unregister: probe }",
	],
	modify: [
		"{ insmod: tracers }, { register: straight }, { modify: { ops: straight, direct: direct_tramp_orig } }, { unregister: straight }, { modify: { ops: straight, direct: direct_tramp }, errno: EINVAL }",
	],
	cpu_up: ["{ cpu_down: 1 }, { insmod: lp1 }, settle, { cpu_up: 1 }, { cpu_up: 7, errno: EINVAL }"],
	cpu_down: ["{ cpu_down: 1 }, { cpu_down: 1 }, { cpu_down: 0, errno: EPERM }, { cpu_down: 7, errno: EINVAL }"],
	wake: ["{ wake: sleeper }, { run: { task: sleeper } }, { insmod: lp1 }, { wake: sleeper }, settle"],
	fork: [
		"{ insmod: lp1 }, { fork: { parent: idler, child: young, idle: true } }, settle",
		"{ fork: { parent: idler, child: young, idle: true, window: 3 } }",
	],
	exit: ["{ exit: idler }, { wake: sleeper }, { run: { task: sleeper } }, { exit: sleeper }"],
	call: ["{ insmod: lp1 }, settle, { call: { task: idler, func: funcA } }"],
	state: ["{ insmod: lp1 }, settle, { state: here }"],
	test: ["{ test: here }"],
	expect: ["{ rmmod: lp1 }, { expect: { errno: ENOENT } }"],
	race: ["{ race: [[{ insmod: lp1 }], [{ insmod: some_mod }, { rmmod: some_mod }]] }, settle"],
};

/** Makes every step of these that the explorer leaves out, too. */
const LEFT_OUT = ["sleep", "stat", "call", "state", "test", "expect"];

describe.each(STEPS.map(({ kind }) => kind))("%s", (kind) => {
	test.each(CASES[kind])("%s", async (steps) => {
		const text = scenario(steps);
		const [run, explored] = [await bench.run(text), await bench.explore(text)];
		expect(run.failures).toEqual([]);
		expect(explored.results).toEqual(run.results.filter(([title]) => explored.titles.includes(title)));
		expect(explored.dmesg).toEqual(run.dmesg);
		expect(explored.state).toEqual(run.state);
		expect(run.results.length - explored.results.length, "steps left out").toBe(
			LEFT_OUT.includes(kind) || steps.includes("value: 1 }") ? 1 : 0,
		);
	});
});

test("every definition that the explorer leaves out says why", () => {
	const why = STEPS.map(({ kind }) => definitionOf({ kind })).map(({ kind, notExplored }) => [kind, notExplored]);
	expect(why.filter(([, reason]) => reason !== undefined).map(([kind]) => kind)).toEqual(
		expect.arrayContaining(LEFT_OUT),
	);
});
