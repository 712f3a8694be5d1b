import type { Report, ReportStep, ReportTask } from "../../src/report/index.js";

/**
 * The hybrid scenario under rfc-2025, written by hand from what a real kernel did (golden/linux-6.12-rfc-petr.txt). The
 * engine's own report of it is tested elsewhere; this one only has to be typical.
 */
type State = ReportTask["patch_state"];

function task(patch_state: State, funcA: string, funcB: string, inside: string | null = null): ReportTask {
	return { patch_state, pending: patch_state === "UNPATCHED", in: inside, view: { funcA, funcB } };
}

function workers(state: State, funcA: string, funcB: string): Record<string, ReportTask> {
	const one = task(state, funcA, funcB);
	return { "worker/0": one, "worker/1": one, kwork: one };
}

const LP1 = { "lp1/enabled": 1, "lp1/transition": 0, "lp1/replace": 0, "lp1/replaceable": 0 };
const LP2 = { "lp2/enabled": 1, "lp2/transition": 0, "lp2/replace": 0, "lp2/replaceable": 1 };
const LP3 = { "lp3/enabled": 1, "lp3/transition": 0, "lp3/replace": 1, "lp3/replaceable": 1 };
const O = "original";

const words = (name: string, ...verbs: string[]) => verbs.map((verb) => `livepatch: '${name}': ${verb}`);

const states: Omit<ReportStep, "index">[] = [
	{
		action: "insmod lp1",
		errno: 0,
		tasks: { ...workers("UNPATCHED", O, O), sleeper: task("UNPATCHED", O, O) },
		sysfs: { ...LP1, "lp1/transition": 1 },
		func_stacks: { funcA: ["lp1_funcA"] },
		dmesg: [
			"livepatch: enabling patch 'lp1'",
			...words("lp1", "initializing patching transition", "starting patching transition"),
		],
	},
	{
		action: "settle",
		errno: 0,
		tasks: { ...workers("IDLE", "lp1_funcA", O), sleeper: task("IDLE", "lp1_funcA", O) },
		sysfs: LP1,
		func_stacks: { funcA: ["lp1_funcA"] },
		dmesg: words("lp1", "completing patching transition", "patching complete"),
	},
	{
		action: "insmod lp2",
		errno: 0,
		tasks: { ...workers("UNPATCHED", "lp1_funcA", O), sleeper: task("UNPATCHED", "lp1_funcA", O) },
		sysfs: { ...LP1, ...LP2, "lp2/transition": 1 },
		func_stacks: { funcA: ["lp2_funcA", "lp1_funcA"], funcB: ["lp2_funcB"] },
		dmesg: [
			"livepatch: enabling patch 'lp2'",
			...words("lp2", "initializing patching transition", "starting patching transition"),
		],
	},
	{
		action: "settle",
		errno: 0,
		tasks: { ...workers("IDLE", "lp2_funcA", "lp2_funcB"), sleeper: task("IDLE", "lp2_funcA", "lp2_funcB") },
		sysfs: { ...LP1, ...LP2 },
		func_stacks: { funcA: ["lp2_funcA", "lp1_funcA"], funcB: ["lp2_funcB"] },
		dmesg: words("lp2", "completing patching transition", "patching complete"),
	},
	{
		action: "run sleeper until asleep",
		errno: 0,
		tasks: {
			...workers("IDLE", "lp2_funcA", "lp2_funcB"),
			sleeper: task("IDLE", "lp2_funcA", "lp2_funcB", "lp2_funcB"),
		},
		sysfs: { ...LP1, ...LP2 },
		func_stacks: { funcA: ["lp2_funcA", "lp1_funcA"], funcB: ["lp2_funcB"] },
		dmesg: [],
	},
	{
		action: "insmod lp3",
		errno: 0,
		tasks: {
			...workers("UNPATCHED", "lp2_funcA", "lp2_funcB"),
			sleeper: task("UNPATCHED", "lp2_funcA", "lp2_funcB", "lp2_funcB"),
		},
		sysfs: { ...LP1, ...LP2, ...LP3, "lp3/transition": 1 },
		func_stacks: { funcA: ["nop", "lp2_funcA", "lp1_funcA"], funcB: ["lp3_funcB", "lp2_funcB"] },
		dmesg: [
			"livepatch: enabling patch 'lp3'",
			...words("lp3", "initializing patching transition", "starting patching transition"),
		],
	},
	{
		action: "run 50 rounds",
		errno: 0,
		tasks: {
			...workers("PATCHED", O, "lp3_funcB"),
			sleeper: task("UNPATCHED", "lp2_funcA", "lp2_funcB", "lp2_funcB"),
		},
		sysfs: { ...LP1, ...LP2, ...LP3, "lp3/transition": 1 },
		func_stacks: { funcA: ["nop", "lp2_funcA", "lp1_funcA"], funcB: ["lp3_funcB", "lp2_funcB"] },
		dmesg: ["livepatch: klp_try_switch_task: sleeper:103 is sleeping on function funcB"],
	},
	{
		action: "expect worker/0: PATCHED, funcB -> lp3_funcB",
		errno: 0,
		tasks: {
			...workers("PATCHED", O, "lp3_funcB"),
			sleeper: task("UNPATCHED", "lp2_funcA", "lp2_funcB", "lp2_funcB"),
		},
		sysfs: { ...LP1, ...LP2, ...LP3, "lp3/transition": 1 },
		func_stacks: { funcA: ["nop", "lp2_funcA", "lp1_funcA"], funcB: ["lp3_funcB", "lp2_funcB"] },
		dmesg: [],
	},
	{
		action: "wake sleeper",
		errno: 0,
		tasks: {
			...workers("PATCHED", O, "lp3_funcB"),
			sleeper: task("UNPATCHED", "lp2_funcA", "lp2_funcB", "lp2_funcB"),
		},
		sysfs: { ...LP1, ...LP2, ...LP3, "lp3/transition": 1 },
		func_stacks: { funcA: ["nop", "lp2_funcA", "lp1_funcA"], funcB: ["lp3_funcB", "lp2_funcB"] },
		dmesg: [],
	},
	{
		action: "settle",
		errno: 0,
		tasks: { ...workers("IDLE", "lp1_funcA", "lp3_funcB"), sleeper: task("IDLE", "lp1_funcA", "lp3_funcB") },
		sysfs: { ...LP1, ...LP3 },
		func_stacks: { funcA: ["lp1_funcA"], funcB: ["lp3_funcB"] },
		dmesg: words("lp3", "completing patching transition", "patching complete"),
	},
	{
		action: "expect lp1/enabled = 1, lp3/transition = 0",
		errno: 0,
		tasks: { ...workers("IDLE", "lp1_funcA", "lp3_funcB"), sleeper: task("IDLE", "lp1_funcA", "lp3_funcB") },
		sysfs: { ...LP1, ...LP3 },
		func_stacks: { funcA: ["lp1_funcA"], funcB: ["lp3_funcB"] },
		dmesg: [],
	},
];

export const steps: readonly ReportStep[] = states.map((state, position) => ({ index: position + 1, ...state }));

export const hybrid: Report = {
	schema: 1,
	scenario: "Hybrid mode, lp1/lp2/lp3",
	design: "rfc-2025",
	cpu: "jit",
	seed: 1,
	preemption: "none",
	verdict: "violated",
	asExpected: true,
	violations: ["worker/0", "worker/1", "kwork"].map((name) => ({
		invariant: "sudden-change",
		step: 10,
		task: name,
		func: "funcA",
		from: O,
		to: "lp1_funcA",
		message:
			"in klp_complete_transition(lp3), when klp_discard_nops took the nop off funcA's func_stack: lp1_funcA is its first entry now",
	})),
	failures: [],
	steps,
	dmesg: steps.flatMap((step) => step.dmesg),
};
