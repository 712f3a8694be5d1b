/** A scenario by `run`, and its first administrator's steps by the explorer, one after the other. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Model, Replayer } from "../../../src/explore/index.js";
import { TASK_RUNNING } from "../../../src/linux/sched/index.js";
import type { Machine } from "../../../src/machine/index.js";
import { nodeHost, objectFor } from "../../../src/node/index.js";
import { createModel, parseScenario } from "../../../src/scenario/index.js";
import { createScenarioMachine, runOn } from "../../../src/scenario/run.js";
import { TestMachine } from "../../support/machine.js";
import { kernelState } from "../../support/state.js";

/** What is compared. */
export interface Effect {
	/** Results of the steps, by title. Explorer: of those that it makes. */
	readonly results: readonly (readonly [string, number])[];
	readonly dmesg: readonly string[];
	readonly state: ReturnType<typeof kernelState>;
}

function effect(machine: Machine, results: Effect["results"]): Effect {
	const state = kernelState(new TestMachine(machine, new Map()));
	// The explorer's administrators of a race are processes; in `run` the shell makes their steps.
	const racers = machine.sched.tasks.filter(({ comm }) => comm.startsWith("shell/"));
	const tasks = state.tasks.filter(([comm]) => !racers.some((racer) => racer.comm === comm));
	const files = state.files.filter((path) => !racers.some(({ pid }) => path === `/proc/${pid}/patch_state`));
	// Which idle task is on its CPU depends on the rounds, in `run`, and here none is. Selftests log the steps only in `run`.
	const elsewhere = /swapper\/\d+:0 is running$|^=====/;
	const dmesg = machine.dmesg.lines().filter((line) => !elsewhere.test(line));
	return { results, dmesg, state: { ...state, tasks, files } };
}

const FUNCS = "long in_mod(long x) { return x; }\n";
/** Refuses to be loaded if it is told to. */
const PICKY = `
#include <linux/module.h>
static int refuse;
module_param(refuse, int, 0644);
static int picky_init(void) { pr_info("refuse is %d\\n", refuse); return refuse ? -16 : 0; }
static void picky_exit(void) { }
module_init(picky_init);
module_exit(picky_exit);
MODULE_LICENSE("GPL");
`;

/** Makes scenarios in a folder of their own, which has the objects mod.o and picky.o. */
export class Bench {
	readonly #folder: string;

	private constructor(folder: string) {
		this.#folder = folder;
	}

	static async create(): Promise<Bench> {
		const folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
		// Made once: each scenario needs them twice.
		for (const [name, text] of Object.entries({ mod: FUNCS, picky: PICKY })) {
			await writeFile(join(folder, `${name}.c`), text);
			await writeFile(join(folder, `${name}.o`), (await objectFor(join(folder, `${name}.c`))).bytes);
		}
		await writeFile(join(folder, "transcript.txt"), "===== TEST: here =====\n");
		return new Bench(folder);
	}

	async close(): Promise<void> {
		await rm(this.#folder, { recursive: true, force: true });
	}

	#parse(yaml: string) {
		const file = join(this.#folder, "scenario.yaml");
		return { scenario: parseScenario(yaml, file), options: { host: nodeHost(file) } };
	}

	async model(yaml: string): Promise<Model> {
		const { scenario, options } = this.#parse(yaml);
		return createModel(scenario, options);
	}

	async run(yaml: string): Promise<Effect & { readonly failures: readonly string[] }> {
		const { scenario, options } = this.#parse(yaml);
		const { machine, objects } = await createScenarioMachine(scenario, options);
		try {
			const report = await runOn(machine, objects, scenario, options);
			const results = report.steps.map(({ action, errno }) => [action, errno] as const);
			return { ...effect(machine, results), failures: report.failures.map(({ message }) => message) };
		} finally {
			machine.close();
		}
	}

	/** The administrators go on for as long as they can. If all must wait, the kworker and each task make a move. */
	async explore(yaml: string): Promise<Effect & { readonly titles: readonly string[] }> {
		const { model, results } = noteResults(await this.model(yaml));
		try {
			const { world } = new Replayer(model);
			const kworker = world.actors.length - 1;
			const busy = [...model.admins.keys()].filter((admin) => model.admins[admin]!.of === undefined);
			const hasStep = (actor: number) => world.nextStep(actor) !== undefined;
			const moves = (actor: number) => hasStep(actor) && world.moveActor(actor, new Set()).kind !== "blocked";
			for (let turns = 0; busy.some(hasStep); turns++) {
				if (turns > 10_000) throw new Error(`'${world.nextStep(0)}' does not end`);
				if (busy.some(moves)) continue;
				moves(kworker);
				for (const slot of model.tasks.keys()) {
					const { alive, fields } = world.loaded(slot);
					if (alive && !fields.held && fields.__state === TASK_RUNNING) world.moveTask(slot);
				}
			}
			const { pending } = model.machine.workqueue;
			while (world.actors[kworker]!.inStep || pending.length > 0) moves(kworker);
			const titles = model.admins[0]!.steps.map(({ title }) => title);
			return { ...effect(model.machine, results), titles };
		} finally {
			model.machine.close();
		}
	}
}

/** The same model; what its steps return is in `results` when they have been made. */
function noteResults(model: Model) {
	const results: [string, number][] = [];
	const admins = model.admins.map((admin) => ({
		...admin,
		steps: admin.steps.map((step) => ({
			...step,
			*run() {
				const errno = yield* step.run();
				if (typeof errno === "number" && admin.during === undefined) results.push([step.title, errno]);
				return errno;
			},
		})),
	}));
	return { model: { ...model, admins }, results };
}
