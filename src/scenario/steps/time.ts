import * as v from "valibot";
import { KlpemuError } from "../../base/index.js";
import { expected, taskNames, whole } from "../values.js";
import { Outside, step } from "./step.js";

/** Number of rounds in which a scenario must settle. */
export const ROUNDS_LIMIT = 10_000;
const rounds = whole(0, 1_000_000);

function endless(message: string): KlpemuError {
	return new KlpemuError("STEP_ENDLESS", message);
}

export const settle = step("settle", {
	value: v.strictObject({ rounds }),
	doc: {
		form: ["settle", "settle: { rounds }"],
		does: "runs until no transition is in progress; an error after `rounds` (default 10000)",
	},
	outside: true,
	resumes: true,
	word: () => ({ rounds: ROUNDS_LIMIT }),
	read: (raw) => ({ rounds: raw.rounds }),
	title: () => "settle",
	*run({ rounds }, { machine, holdUps }) {
		const { klp, workqueue } = machine;
		// Busy: the kworker has lost its CPU in the middle of a work.
		const settled = () => klp.inTransition === undefined && workqueue.pending.length === 0 && !machine.busy;
		yield new Outside("settle", settled, rounds, true);
		if (!settled()) throw endless(`the transition does not end within ${rounds} rounds: ${holdUps()}`);
		return 0;
	},
});

export const run = step("run", {
	value: v.union([rounds, v.strictObject({ task: v.optional(taskNames), rounds: v.optional(rounds) })]),
	doc: {
		form: ["run: 50", "run: { task: sleeper }"],
		does: "runs 50 rounds; or until that task sleeps (an error after `rounds` rounds)",
	},
	outside: true,
	resumes: true,
	mayFallAsleep: true,
	read(raw, place): { readonly rounds: number; readonly tasks: readonly string[] } {
		if (typeof raw === "number") return { rounds: raw, tasks: [] };
		if (raw.task === undefined && raw.rounds === undefined) {
			const hint = "run: 50 is 50 rounds, run: { task: NAME } goes on until that task sleeps";
			throw place.key().error("SCENARIO_MISSING_KEY", "'run' needs 'task' or 'rounds'", hint);
		}
		return { rounds: raw.rounds ?? ROUNDS_LIMIT, tasks: place.at("task").tasks(raw.task) };
	},
	title({ rounds, tasks }) {
		if (tasks.length > 0) return `run ${tasks.join(", ")} until asleep`;
		return rounds === 1 ? "run 1 round" : `run ${rounds} rounds`;
	},
	named: ({ tasks }) => tasks,
	*run({ rounds, tasks: names }, { tasks, pass }) {
		if (names.length === 0) {
			pass(rounds);
			yield "run";
			return 0;
		}
		const awaited = names.map((name) => tasks.get(name));
		for (const task of awaited) if (!tasks.isAsleep(task)) task.slept = false;
		const asleep = () => awaited.every((task) => tasks.isAsleep(task));
		yield new Outside(`run ${names.join(", ")}`, asleep, rounds);
		if (asleep()) return 0;
		const inlined = "; if gcc has inlined the function in which it is to sleep, that needs noinline";
		const sleepsIn = awaited.some((task) => task.program.sleepAt !== undefined);
		throw endless(`not asleep after ${rounds} rounds: ${names.join(", ")}${sleepsIn ? inlined : ""}`);
	},
});

export const sleep = step("sleep", {
	value: v.pipe(v.number(), v.gtValue(0), v.maxValue(3600), expected("seconds, more than 0 and at most 3600")),
	doc: { form: ["sleep: 2.5"], does: "lets this number of seconds of the machine's time pass" },
	outside: true,
	resumes: true,
	read: (raw) => ({ seconds: raw }),
	title: ({ seconds }) => `sleep ${seconds}`,
	notExplored: () => ({ skips: "the explorer lets any time pass between any two points" }),
	// biome-ignore lint/correctness/useYield: nothing that another task could see
	*run({ seconds }, { machine, pass }) {
		pass(Math.ceil(seconds * machine.hz));
		return 0;
	},
});
