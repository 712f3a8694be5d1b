import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { nodeHost } from "../../../src/node/index.js";
import type { Report, ReportStep } from "../../../src/report/index.js";
import { parseScenario, type RunScenarioOptions, runScenario } from "../../../src/scenario/index.js";
import { kernelCore } from "../../support/kernel-core.js";
import { sample } from "../../support/sample.js";

/*
 * Both cores run every scenario that needs no kernel module, from the same seed, and are compared step by step. What differs for a reason:
 *
 * - A call of the compiled handler is some 45 instructions of the task's slice, one of the handler in TypeScript is 2. So while a transition
 *   runs, another task may be the one that is running: who has switched already is compared only when no transition runs, and so are the
 *   messages of klp_try_switch_task(). What a task in a given patch_state runs is compared always.
 * - stack_order is of 6.14; the TypeScript core has it, 6.12 has not.
 * - With `preemption: full` the compiled core is preempted in the middle of its own functions, so that tasks switch earlier.
 */
const FOLDERS = ["scenarios", "scenarios/family"];
/** In some schedules the kthread happens to run when the work looks at it, with either core: not in this one. */
const SEEDS: Readonly<Record<string, number>> = { "scenarios/signals.yaml": 4 };

const files = FOLDERS.flatMap((folder) =>
	readdirSync(folder)
		.filter((name) => name.endsWith(".yaml"))
		.map((name) => `${folder}/${name}`),
);

const isSettled = ({ sysfs }: ReportStep) =>
	!Object.entries(sysfs).some(([path, value]) => path.endsWith("/transition") && value === 1);

/** What a task in each patch_state runs; it is an error if two tasks in one state run different code. */
function viewsByState({ tasks }: ReportStep): Record<string, Readonly<Record<string, string>>> {
	const views: Record<string, Readonly<Record<string, string>>> = {};
	for (const { patch_state, view } of Object.values(tasks)) {
		expect(view).toEqual(views[patch_state] ?? view);
		views[patch_state] = view;
	}
	return views;
}

function comparable(step: ReportStep, withOrder: boolean) {
	const { index, action, errno, func_stacks, dmesg } = step;
	const sysfs = Object.fromEntries(Object.entries(step.sysfs).filter(([path]) => !path.endsWith("/stack_order")));
	const livepatch = dmesg.filter((line) => line.includes("livepatch: "));
	return {
		...{ index, action, errno, func_stacks },
		...(withOrder && { sysfs, dmesg: livepatch.filter((line) => !line.includes("klp_try_switch_task: ")) }),
		...(isSettled(step) && withOrder && { tasks: step.tasks }),
	};
}

const isSame = (one: object, other: object | undefined) => JSON.stringify(one) === JSON.stringify(other);

function compare(withOrder: boolean, typescript: Report, compiled: Report): void {
	const steps = (report: Report) => report.steps.map((step) => comparable(step, withOrder));
	const places = ({ tasks }: { tasks?: ReportStep["tasks"] }) =>
		Object.values(tasks ?? {}).map(({ in: _, ...task }) => task);
	const stripped = (report: Report) => steps(report).map((step) => ({ ...step, tasks: places(step) }));
	expect(stripped(compiled)).toEqual(stripped(typescript));
	for (const [index, step] of compiled.steps.entries()) {
		const [mine, other] = [viewsByState(step), viewsByState(typescript.steps[index]!)];
		for (const state of Object.keys(mine)) if (state in other) expect(mine[state]).toEqual(other[state]);
	}
	const violations = (report: Report) =>
		report.violations
			.map(({ invariant, step, task, func, from, to }) => ({ invariant, step, task, func, from, to }))
			// How many tasks have not switched by themselves before the work looks at their stacks depends on slices.
			.filter((one, i, all) => one.invariant !== "use-after-free" || !isSame(one, all[i - 1]));
	expect(violations(compiled)).toEqual(violations(typescript));
	expect(compiled.failures).toEqual(typescript.failures);
}

test.for(sample(files, 9))("%s: the same with both cores", async (file, { skip }) => {
	const scenario = parseScenario(await readFile(file, "utf8"), file);
	const core = await kernelCore(skip);
	const options: RunScenarioOptions = {
		host: nodeHost(file),
		stopAtFailure: true,
		...(file in SEEDS && { seed: SEEDS[file]! }),
	};
	compare(
		scenario.preemption !== "full",
		await runScenario(scenario, { ...options, design: "mainline" }),
		await runScenario(scenario, { ...options, core }),
	);
});
