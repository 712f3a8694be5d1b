/**
 * Random things that administrators and tasks do, under random schedules: no WARN, no oops, and when all of it is undone the
 * kernel is as it was, to the byte of its text. A failure prints seed, path and the shortest list of actions that still fails;
 * KLPEMU_RANDOM_SEED=SEED tries that one again, KLPEMU_RANDOM_RUNS=N more of them.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ftrace_ops } from "../../../src/linux/ftrace/index.js";
import type { task_struct } from "../../../src/linux/sched/index.js";
import { FtraceTest } from "../../support/ftrace.js";
import { createTestMachine, type Source, type TestMachine } from "../../support/machine.js";
import { kernelState } from "../../support/state.js";

const RUNS = Number(process.env.KLPEMU_RANDOM_RUNS ?? 40);
const SEED = Number(process.env.KLPEMU_RANDOM_SEED ?? 20_260_000);

const MODULE = "mod";
const LIVEPATCHES = ["lp1", "lp2", "lp3"] as const;
type Livepatch = (typeof LIVEPATCHES)[number];
/** What each livepatch changes; all of them also a function of the module. */
const FUNCS: Readonly<Record<Livepatch, readonly [string, string][]>> = {
	lp1: [["funcA", "lp1_funcA"]],
	lp2: [
		["funcA", "lp2_funcA"],
		["funcB", "lp2_funcB"],
	],
	lp3: [["funcB", "lp3_funcB"]],
};

type Action =
	| { readonly kind: "insmod"; readonly name: Livepatch; readonly replace: boolean }
	| { readonly kind: "disable" | "reverse" | "force" | "rmmod"; readonly name: Livepatch }
	| { readonly kind: "module" | "trace" | "probe" | "fork" | "exit" | "asleep" | "awake" | "settle" }
	| { readonly kind: "cpu"; readonly cpu: number }
	| { readonly kind: "rounds"; readonly count: number };

const name = fc.constantFrom(...LIVEPATCHES);
const action: fc.Arbitrary<Action> = fc.oneof(
	{ weight: 4, arbitrary: fc.record({ kind: fc.constant("insmod" as const), name, replace: fc.boolean() }) },
	{ weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("disable" as const, "reverse" as const), name }) },
	{ weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("force" as const, "rmmod" as const), name }) },
	{
		weight: 5,
		arbitrary: fc.record({
			kind: fc.constantFrom(
				...([
					"module",
					"trace",
					"probe",
					"fork",
					"exit",
					"asleep",
					"asleep",
					"awake",
				] as const satisfies Action["kind"][]),
			),
		}),
	},
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant("cpu" as const), cpu: fc.integer({ min: 1, max: 2 }) }) },
	{
		weight: 5,
		arbitrary: fc.record({ kind: fc.constant("rounds" as const), count: fc.integer({ min: 1, max: 60 }) }),
	},
);

/** A machine, and what is done to it. */
class World {
	readonly machine: TestMachine;
	readonly #probe: ftrace_ops;
	readonly #f: FtraceTest;
	readonly #children: task_struct[] = [];
	readonly #workers: task_struct[];
	/** The sleeper stops wherever it enters an implementation of funcA. */
	#asleep = false;
	/** A transition was forced: from then on tasks may be in functions that nobody sees any more. */
	#forced = false;
	/** Results by action, to see that actions do something. */
	readonly results = new Map<string, number>();

	constructor(machine: TestMachine) {
		this.machine = machine;
		this.#f = new FtraceTest(machine);
		this.#probe = this.#f.tracer("probe", () => {});
		this.#f.filter(this.#probe, "funcA", "weigh");
		this.#workers = [machine.task("worker", "funcC", "funcA"), machine.kthread("kworker", "funcD", "funcB")];
		const calls = [machine.addr("funcA")];
		this.#workers.push(machine.it.tasks.add({ name: "sleeper", kthread: false, calls, sleepAt: () => this.#bodies() }));
		// The tracer's ops is static, and keeps what it got when it was first used.
		this.#trace();
		this.#trace();
	}

	/**
	 * In livepatches only while no transition runs: who is preempted between the handler's decision and the jump can be switched
	 * back, and would then sleep in text that may go. That is mainline's own, see kernel-rules.test.ts.
	 */
	#bodies(): number[] {
		if (!this.#asleep) return [];
		if (this.machine.klp.transition.klp_transition_patch !== undefined) return [(this.machine.site("funcA") + 5) | 0];
		const loaded = LIVEPATCHES.filter((lp) => this.machine.it.modules.has(lp) && lp !== "lp3");
		return ["funcA", ...loaded.map((lp) => `${lp}_funcA`)].map((func) => (this.machine.site(func) + 5) | 0);
	}

	#trace(): number {
		const { tracer } = this.machine.it;
		const next = tracer.current_tracer === "nop" ? "function" : "nop";
		return this.machine.it.shell.write("/sys/kernel/tracing/current_tracer", next);
	}

	#insmod(lp: Livepatch, replace: boolean): number {
		const funcs = FUNCS[lp].map(([old, by]) => ({ old, by }));
		const inModule = [{ old: "lp4_funcA", by: funcs[0]!.by }];
		return this.machine.insmod(lp as Source, { objects: { vmlinux: funcs, [MODULE]: inModule }, replace });
	}

	do(it: Action): void {
		const ret = this.#do(it);
		const key = `${it.kind} ${ret === 0 ? "done" : "refused"}`;
		this.results.set(key, (this.results.get(key) ?? 0) + 1);
		this.check();
	}

	#do(it: Action): number {
		const { machine } = this;
		switch (it.kind) {
			case "insmod":
				return this.#insmod(it.name, it.replace);
			case "disable":
				return machine.echo("0", `${it.name}/enabled`);
			case "reverse":
				return machine.echo(machine.cat(`${it.name}/enabled`) === "1" ? "0" : "1", `${it.name}/enabled`);
			case "force": {
				const ret = machine.echo("1", `${it.name}/force`);
				this.#forced ||= ret === 0;
				return ret;
			}
			case "rmmod":
				// Mainline would let text go that a forced task is still in, see kernel-rules.test.ts.
				return this.#forced ? -1 : machine.it.shell.rmmod(it.name);
			case "module":
				return machine.it.modules.has(MODULE) ? machine.it.shell.rmmod(MODULE) : machine.insmodPlain(MODULE, "lp4");
			case "trace":
				return this.#trace();
			case "probe": {
				const registered = [...machine.ftrace.ftrace_ops_list].includes(this.#probe);
				return registered ? this.#f.unregister(this.#probe) : this.#f.register(this.#probe);
			}
			case "fork": {
				const calls = [machine.addr("funcC")];
				const parent = this.#workers[this.#children.length % this.#workers.length]!;
				this.#children.push(
					machine.it.tasks.fork(parent, { name: `child${this.#children.length}`, kthread: false, calls }),
				);
				return 0;
			}
			case "exit": {
				const child = this.#children.pop();
				if (child === undefined) return -1;
				machine.it.tasks.exit(child);
				return 0;
			}
			case "asleep":
			case "awake":
				this.#sleep(it.kind === "asleep");
				return 0;
			case "settle":
				// The sleeper may hold it up.
				return machine.it.settle(100) ? 0 : -1;
			case "cpu": {
				const file = `/sys/devices/system/cpu/cpu${it.cpu}/online`;
				return machine.it.shell.write(file, machine.it.shell.read(file) === "1\n" ? "0" : "1");
			}
			case "rounds":
				machine.rounds(it.count);
				return 0;
		}
	}

	#sleep(asleep: boolean): void {
		const sleeper = this.#workers[2]!;
		this.#asleep = asleep;
		if (asleep) sleeper.slept = false;
		else this.machine.it.tasks.wake(sleeper);
	}

	check(): void {
		expect(this.machine.it.dmesg.warnings).toEqual([]);
		expect(this.machine.dmesg("BUG:").concat(this.machine.dmesg("Oops"))).toEqual([]);
	}

	/** Undoes everything. Modules of forced transitions stay for ever: their names. */
	undo(): string[] {
		const { machine } = this;
		this.#sleep(false);
		for (const child of this.#children.splice(0)) machine.it.tasks.exit(child);
		for (const cpu of [1, 2]) machine.it.shell.write(`/sys/devices/system/cpu/cpu${cpu}/online`, "1");
		machine.settle();
		for (const patch of [...machine.klp.klp_patches].reverse()) {
			// A replaced patch may have gone with another's completion by now.
			if (patch.freed || !patch.enabled) continue;
			expect(machine.echo("0", `${patch.name}/enabled`)).toBe(0);
			machine.settle();
		}
		if (machine.it.tracer.current_tracer === "function") this.#trace();
		if ([...machine.ftrace.ftrace_ops_list].includes(this.#probe)) this.#f.unregister(this.#probe);
		if (machine.it.modules.has(MODULE)) expect(machine.it.shell.rmmod(MODULE)).toBe(0);
		machine.rounds(5);
		const pinned: string[] = [];
		for (const mod of [...machine.it.modules.values()]) {
			if (mod.refcount === 0) expect(machine.it.shell.rmmod(mod.name)).toBe(0);
			else {
				expect([mod.name, mod.patch?.forced, mod.patch?.freed]).toEqual([mod.name, true, true]);
				pinned.push(mod.name);
			}
		}
		this.check();
		return pinned;
	}
}

/** The state but for some modules, which cannot go any more. */
function without(state: ReturnType<typeof kernelState>, machine: TestMachine, modules: readonly string[]) {
	const isTheirs = (text: string) => modules.some((mod) => text.startsWith(`${mod}:`) || text.includes(`/${mod}`));
	const sites = new Set(modules.flatMap((mod) => [...machine.it.modules.get(mod)!.image.mcountLocs]));
	return {
		...state,
		text: state.text.filter(([region]) => !isTheirs(region)),
		regions: state.regions.filter((region) => !isTheirs(region)),
		files: state.files.filter((file) => !isTheirs(file)),
		modules: state.modules.filter(([mod]) => !modules.includes(mod as string)),
		records: state.records.filter(([ip]) => !sites.has(ip!)),
	};
}

const insmod = (name: Livepatch): Action => ({ kind: "insmod", name, replace: false });
const rounds = (count: number): Action => ({ kind: "rounds", count });
/** Found by earlier runs: they are tried first. */
const FOUND: [Action[], number][] = [
	// The next try of the transition was due while an ops was being unregistered: the worker waited for ftrace_lock, and its
	// holder for the worker.
	[[insmod("lp1"), { kind: "probe" }, { kind: "disable", name: "lp1" }, { kind: "probe" }, insmod("lp1")], 337_199],
	// A task was preempted in ftrace_caller between the load of function_trace_op and the call.
	[[{ kind: "probe" }, rounds(50), { kind: "trace" }, rounds(69), { kind: "probe" }, { kind: "module" }], 10],
];

const totals = new Map<string, number>();

/** Does the actions, compares the state after all is undone, and gives what an observer could tell two runs apart by. */
async function live(cpu: "jit" | "unicorn", actions: readonly Action[], seed: number) {
	const machine = await createTestMachine({ cpu, seed, cpus: 3, hz: 20 });
	try {
		const world = new World(machine);
		const before = kernelState(machine);
		for (const each of actions) world.do(each);
		const { instructions } = machine.it.sched;
		const result = { instructions, results: [...world.results], after: kernelState(machine), dmesg: machine.dmesg() };
		const pinned = world.undo();
		expect(without(kernelState(machine), machine, pinned)).toEqual(before);
		return result;
	} finally {
		machine.close();
	}
}

describe("random actions", () => {
	test("no WARN, no oops, and in the end everything is as it was, on either Cpu alike", async () => {
		const property = fc.asyncProperty(
			fc.array(action, { minLength: 1, maxLength: 80, size: "max" }),
			fc.integer({ min: 0, max: 1_000_000 }),
			async (actions, seed) => {
				const run = await live("jit", actions, seed);
				for (const [key, count] of run.results) totals.set(key, (totals.get(key) ?? 0) + count);
				// A quarter of them, as the reference takes its time.
				if (seed % 4 === 0) expect(await live("unicorn", actions, seed)).toEqual(run);
			},
		);
		await fc.assert(property, { seed: SEED, numRuns: RUNS, examples: FOUND });
	});
	test("the actions have done something, and have been refused too", () => {
		for (const kind of ["insmod", "disable", "reverse", "force", "rmmod", "exit"]) {
			expect([kind, (totals.get(`${kind} done`) ?? 0) > 0]).toEqual([kind, true]);
			expect([kind, (totals.get(`${kind} refused`) ?? 0) > 0]).toEqual([kind, true]);
		}
		for (const kind of ["module", "trace", "probe", "fork", "cpu"])
			expect(totals.get(`${kind} done`)).toBeGreaterThan(0);
	});
});
