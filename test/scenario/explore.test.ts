/** Explorations of steps that act on ftrace itself, from the first to the last. */
import { expect, test } from "vitest";
import { INVARIANTS } from "../../src/consistency/index.js";
import { type Exploration, explore } from "../../src/explore/index.js";
import { nodeHost } from "../../src/node/index.js";
import { createModel, parseScenario } from "../../src/scenario/index.js";
import { sample } from "../support/sample.js";

const FILE = "scenarios/test.yaml";
const scenario = (steps: string) => `
title: t
cpus: 1
vmlinux: [asm/vmlinux/funcs.c]
modules: { tracers: { sources: [asm/modules/tracers.c] } }
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } } }
ftrace_ops:
  probe: { funcs: [funcA] }
  everywhere: {}
  guest: { funcs: [funcA], func: tracer_func }
  bpf: { funcs: [funcA], direct: direct_tramp, shared: direct_tramp }
tasks: { worker: { calls: [funcA] } }
steps: [${steps}]
`;

const tracer = (name: string) => `{ echo: { path: /sys/kernel/tracing/current_tracer, value: ${name} } }`;

async function exploreAll(steps: string, reduction: boolean): Promise<Exploration> {
	const model = await createModel(parseScenario(scenario(steps), FILE), { host: nodeHost(FILE), design: "mainline" });
	try {
		return await explore(model, { budget: 100_000, invariants: new Set(INVARIANTS), all: true, reduction });
	} finally {
		model.machine.close();
	}
}

const STEPS = [
	["the function tracer alone", `${tracer("function")}, { run: 1 }, ${tracer("nop")}`],
	["the function tracer and a livepatch", `${tracer("function")}, { insmod: lp1 }, settle, ${tracer("nop")}`],
	["an ops that counts, and a livepatch", "{ register: probe }, { insmod: lp1 }, settle, { unregister: probe }"],
	["an ops at all functions", "{ insmod: lp1 }, settle, { register: everywhere }, { unregister: everywhere }"],
	[
		"a call-back in the guest",
		"{ insmod: tracers }, { register: guest }, { insmod: lp1 }, settle, { unregister: guest }",
	],
	["a direct function that shares its site", "{ insmod: tracers }, { register: bpf }, { insmod: lp1 }, settle"],
	[
		"ftrace is switched off, and on",
		"{ register: probe }, { sysctl: kernel.ftrace_enabled=0 }, { run: 1 }, { sysctl: kernel.ftrace_enabled=1 }",
	],
] as const;

test.each(sample(STEPS, 2))("%s: complete, with and without reduction", async (_title, steps) => {
	const [reduced, whole] = [await exploreAll(steps, true), await exploreAll(steps, false)];
	expect([reduced.result, whole.result]).toEqual(["complete", "complete"]);
	expect(reduced.states).toBeLessThanOrEqual(whole.states);
});
