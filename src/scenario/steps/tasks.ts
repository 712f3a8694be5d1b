import * as v from "valibot";
import { KlpemuError } from "../../base/index.js";
import { TASK_RUNNING, type task_struct } from "../../linux/sched/index.js";
import { MAX_ARGUMENTS } from "../../machine/index.js";
import { expected, symbol, taskEntries, taskKey, taskName, taskNames, whole, word64 } from "../values.js";
import { Outside, step } from "./step.js";

/** Number of rounds that `call` may take, and that a task may take to leave the kernel before it exits. */
export const CALL_ROUNDS = 10_000;
const EXIT_ROUNDS = 100_000;

export const wake = step("wake", {
	value: taskNames,
	doc: { form: ["wake: task"], does: "ends a task's sleep" },
	races: true,
	outside: true,
	read: (raw, place) => ({ tasks: place.tasks(raw) }),
	title: ({ tasks }) => `wake ${tasks.join(", ")}`,
	named: ({ tasks }) => tasks,
	*run({ tasks: names }, { machine, tasks }) {
		for (const name of names) machine.tasks.wake(tasks.get(name));
		yield `wake ${names.join(", ")}`;
		return 0;
	},
});

export const fork = step("fork", {
	value: v.strictObject({ parent: taskName, child: taskKey, window: v.optional(whole(0, 1_000_000)), ...taskEntries }),
	doc: {
		form: ["fork: { parent, child, calls, ... }", "fork: { parent, child, window: 50, ... }"],
		does:
			"creates a task with the patch_state of its parent (klp_copy_process); `window`: that many rounds pass in the middle of " +
			"copy_process(), between the copy of the parent's task_struct and the child's entry in the task list",
	},
	races: true,
	outside: true,
	writesTasklist: true,
	read({ parent, child, window = 0, ...task }, place) {
		return { parent: place.at("parent").oneTask(parent), child: place.newTask(child, task), window };
	},
	title: ({ parent, child }) => `fork ${child.name} from ${parent}`,
	named: ({ parent }) => [parent],
	*run({ parent, child, window }, { tasks, pass }) {
		tasks.fork(parent, child, () => pass(window));
		return 0;
	},
});

/** The task is outside of guest kernel code: in user mode, or in its kthread's sleep between two rounds of its loop. */
function isOutside(task: task_struct): boolean {
	if (task.mode !== "kernel" || task.stack === undefined) return true;
	return task.kthread && task.__state !== TASK_RUNNING && !task.held;
}

export const exit = step("exit", {
	value: taskNames,
	doc: {
		form: ["exit: task"],
		does: "ends a task as soon as it is outside of guest kernel code; a sleeping task is woken",
	},
	races: true,
	outside: true,
	writesTasklist: true,
	read(raw, place) {
		const tasks = place.tasks(raw);
		place.exited(tasks);
		return { tasks };
	},
	title: ({ tasks }) => `exit ${tasks.join(", ")}`,
	named: ({ tasks }) => tasks,
	*run({ tasks: names }, { machine, tasks }) {
		for (const name of names) {
			const task = tasks.get(name);
			if (!isOutside(task) && (task.held || task.__state !== TASK_RUNNING)) machine.tasks.wake(task);
			yield new Outside(`exit ${name}`, () => isOutside(task), EXIT_ROUNDS);
			if (!isOutside(task)) throw new KlpemuError("TASK_STUCK", `task '${name}' does not come out of the kernel`);
			tasks.exit(name);
			yield `do_exit(${name})`;
		}
		return 0;
	},
});

export const call = step("call", {
	value: v.strictObject({
		task: taskName,
		func: symbol,
		args: v.optional(
			v.pipe(
				v.array(word64),
				v.maxLength(MAX_ARGUMENTS),
				expected(`a list of at most ${MAX_ARGUMENTS} numbers`),
				v.description("the arguments, whole numbers of 64 bits; default: the task's pid is the first one"),
			),
		),
		value: v.optional(v.pipe(word64, v.description("what the function must return: all 64 bits of rax"))),
	}),
	doc: {
		form: ["call: { task, func, args, value }"],
		does: "the task calls a function once, with up to six numbers as `args` (default: its pid); the step compares the result",
	},
	outside: true,
	read: ({ task, func, args, value }, place) => ({
		task: place.at("task").oneTask(task),
		func: place.at("func").func(func),
		args: args?.map((arg) => BigInt(arg)),
		value: value === undefined ? undefined : BigInt.asUintN(64, BigInt(value)),
	}),
	title: ({ task, func, args }) => `call ${func}${args === undefined ? "" : `(${args.join(", ")})`} in ${task}`,
	/**
	 * The step lets a task run for as many rounds as its call takes. The explorer does not need it: it moves every task
	 * at any time.
	 */
	notExplored: () => ({ skips: "what a task calls is no step of an administrator" }),
	// biome-ignore lint/correctness/useYield: the machine makes rounds until the call has returned
	*run({ task, func, args, value }, { machine, tasks, fail }) {
		const result = machine.tasks.callOnce(tasks.get(task), tasks.address(func), CALL_ROUNDS, args);
		if (result === undefined) {
			throw new KlpemuError("STEP_ENDLESS", `${func} does not return within ${CALL_ROUNDS} rounds`);
		}
		if (value !== undefined && value !== BigInt.asUintN(64, result)) {
			fail(`${func} returns ${BigInt.asIntN(64, result)}, not ${BigInt.asIntN(64, value)}`);
		}
		return 0;
	},
});
