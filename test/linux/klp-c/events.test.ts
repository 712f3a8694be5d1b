/** What observers are told of the compiled core: it has no points of its own, so that its words are compared while it runs. */
import { expect, test } from "vitest";
import { nodeHost } from "../../../src/node/index.js";
import { createScenarioMachine, parseScenario, ScenarioRun } from "../../../src/scenario/index.js";
import { kernelCore } from "../../support/kernel-core.js";

const FILE = "scenarios/inline.yaml";
const scenario = (steps: string) =>
	parseScenario(
		`title: events
vmlinux: [asm/vmlinux/funcs.c]
hz: 100
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
  lp2: { sources: [asm/livepatches/lp2.c], funcs: { funcB: lp2_funcB } }
tasks:
  sleeper: { calls: [funcA], sleeps_in: funcA }
steps: [${steps}]
`,
		FILE,
	);

/** Runs the steps; the report, and the transitions that an observer was told of. `step`: instructions from look to look. */
async function run(steps: string, skip: (note?: string) => never, step?: number) {
	const core = await kernelCore(skip);
	const parsed = scenario(steps);
	const options = { host: nodeHost(FILE), core };
	const { machine, objects } = await createScenarioMachine(parsed, options);
	if (step !== undefined) Object.defineProperty(machine.calls.watch!, "step", { value: step });
	const told: string[] = [];
	machine.observe({
		enable: ({ mod }) => void told.push(`enable ${mod.name}`),
		transition: (what, { mod }, target) => void told.push(`${what} ${mod.name} ${target}`),
	});
	try {
		return { report: new ScenarioRun(parsed, machine, objects, options, undefined).run(), told };
	} finally {
		machine.close();
	}
}

test("each transition is told once, with its target, however the core orders its stores", async ({ skip }) => {
	const { report, told } = await run(
		"{ run: { task: sleeper } }, { insmod: lp1 }, { reverse: lp1 }, { reverse: lp1 }, { wake: sleeper }, settle, " +
			"{ insmod: lp2 }, settle, { disable: lp1 }, settle",
		skip,
		// Between any two stores.
		1,
	);
	expect(report.failures).toEqual([]);
	expect(told).toEqual([
		...["enable lp1", "init lp1 1", "reverse lp1 0", "reverse lp1 1"],
		...["enable lp2", "init lp2 1", "init lp1 0"],
	]);
});

test("the klp_ops of a patch that was refused is forgotten: its memory is not read any more", async ({ skip }) => {
	const { report } = await run(
		"{ sysctl: kernel.ftrace_enabled=0 }, { insmod: lp1, errno: EBUSY }, { sysctl: kernel.ftrace_enabled=1 }, " +
			"{ insmod: lp2 }, settle, { disable: lp2 }, settle, { rmmod: lp2 }, { insmod: lp1 }, settle",
		skip,
	);
	expect(report.failures).toEqual([]);
	expect(report.violations).toEqual([]);
	expect(report.steps.at(-1)?.func_stacks).toEqual({ funcA: ["lp1_funcA"] });
});
