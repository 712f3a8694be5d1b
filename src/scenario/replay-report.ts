import { viewOf, type WatchedFunction } from "../consistency/index.js";
import { isEndless, type Replayed, type Schedule, type TaskState } from "../explore/index.js";
import { patchStateName } from "../linux/klp/index.js";
import { TIF_PATCH_PENDING } from "../linux/sched/index.js";
import type { Machine } from "../machine/index.js";
import { type Report, type ReportStep, type ReportTask, type ReportViolation, reportSeed } from "../report/index.js";
import type { Scenario } from "./scenario.js";

/** The parts of a replay that its report reads. */
export interface ReplayParts {
	readonly scenario: Scenario;
	readonly schedule: Schedule;
	readonly machine: Machine;
	readonly functions: readonly WatchedFunction[];
	/** Of all tasks, by slot. */
	readonly names: readonly string[];
	/** Of the scenario's tasks. */
	readonly judged: readonly string[];
}

/** A replay in the form of a run's report: each move is a step. It is as expected if it breaks what the schedule says. */
export function replayReport(parts: ReplayParts, moves: readonly Replayed[]): Report {
	const { scenario, schedule, machine } = parts;
	const { invariant, message } = schedule;
	const violations = moves.flatMap(({ broken }, index) =>
		broken.map(
			({ invariant, task = null, func = null, from = null, to = null, message }): ReportViolation => ({
				...{ invariant, step: index + 1, task, func, from, to, message },
			}),
		),
	);
	if (violations.length === 0 && isEndless(invariant)) {
		violations.push({ invariant, step: moves.length, task: null, func: null, from: null, to: null, message });
	}
	const asExpected = violations.some((violation) => violation.invariant === invariant);
	const failure = `the schedule says ${invariant}, and this is not broken: ${message}`;
	return {
		schema: 1,
		scenario: scenario.title,
		design: schedule.design,
		cpu: machine.cpu.name,
		seed: reportSeed(scenario.seed),
		preemption: scenario.preemption,
		verdict: violations.length > 0 ? "violated" : "consistent",
		asExpected,
		violations,
		failures: asExpected ? [] : [{ step: moves.length, where: scenario.fileName, message: failure }],
		steps: moves.map((move, index) => stepOf(parts, move, index + 1)),
		dmesg: machine.dmesg.lines(),
	};
}

function stepOf(parts: ReplayParts, { move, title, told, after }: Replayed, index: number): ReportStep {
	const stacks = parts.functions.map(({ name }, i) => [name, after.kernel.stacks[i] ?? []] as const);
	const tasks = parts.judged.flatMap((name) => {
		const state = after.tasks[parts.names.indexOf(name)];
		return state?.alive ? [[name, taskOf(parts, state, after.kernel)] as const] : [];
	});
	const what = title ?? told.at(-1) ?? "";
	return {
		index,
		action: what === "" ? move.who : `${move.who}: ${what}`,
		errno: 0,
		tasks: Object.fromEntries(tasks),
		sysfs: {},
		func_stacks: Object.fromEntries(stacks.filter(([, entries]) => entries.length > 0)),
		dmesg: [],
	};
}

function taskOf(
	{ machine, functions }: ReplayParts,
	state: TaskState,
	kernel: Replayed["after"]["kernel"],
): ReportTask {
	const { names } = viewOf(kernel, state.patch_state);
	const patchable = new Set([...functions.map(({ name }) => name), ...kernel.stacks.flat()]);
	const inside = state.inside.map((address) => machine.symbolize(address).replace(/\+0x[0-9a-f]+$/, ""));
	return {
		patch_state: patchStateName(state.patch_state),
		pending: (Number(state.fields.thread_flags) & TIF_PATCH_PENDING) !== 0,
		in: inside.find((name) => patchable.has(name)) ?? null,
		view: Object.fromEntries(functions.map(({ name }, i) => [name, names[i]!])),
	};
}
