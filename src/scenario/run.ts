import { KlpemuError } from "../base/index.js";
import { findDesign } from "../designs/index.js";
import type { ElfObject } from "../elf/index.js";
import { InvariantChecker, type Violation, type WatchedFunction } from "../explore/index.js";
import { klp_func, klp_object, klp_patch, type klp_patch_fields } from "../linux/klp/index.js";
import { ENOENT } from "../linux/lib/index.js";
import { TASK_RUNNING, type task_struct } from "../linux/sched/index.js";
import { type LoadedModule, Machine, type NewTask } from "../machine/index.js";
import type { Kaddr } from "../memory/index.js";
import type { Report, ReportFailure, ReportStep, ReportViolation } from "../report/index.js";
import { reportSeed } from "../report/index.js";
import { describeStep } from "./describe.js";
import { checkErrno, checkExpectation } from "./expectation.js";
import type { Host } from "./host.js";
import { type LoadedObjects, loadObjects } from "./load.js";
import { Observer } from "./observe.js";
import { ScenarioOps } from "./ops.js";
import { loadSelftest, type Selftest } from "./selftest.js";
import { tracer } from "./trace.js";
import {
	appliesTo,
	expectedErrno,
	expectedVerdict,
	type LivepatchSpec,
	type ParamValue,
	type Scenario,
	type Step,
	type TaskSpec,
	whereOf,
} from "./types.js";

export interface RunScenarioOptions {
	/** Instead of the scenario's. */
	readonly design?: string;
	readonly cpu?: string;
	readonly seed?: bigint | number;
	/** Called with one line for each guest instruction. */
	readonly traceInsns?: (line: string) => void;
	/** Called with one line for each point of kernel code and each guest call, with the guest instructions so far. */
	readonly onEvent?: (event: string) => void;
	readonly host: Host;
}

/** Rounds that `call` and `exit` may take. */
const CALL_ROUNDS = 10_000;

/** Builds the machine that a scenario describes: everything loaded, all tasks there, no step made yet. */
export async function createScenarioMachine(
	scenario: Scenario,
	options: RunScenarioOptions,
): Promise<{ machine: Machine; objects: LoadedObjects }> {
	const { host } = options;
	const objects = await loadObjects(scenario, host.files, host.loadObject);
	const machine = await Machine.create({
		design: findDesign(options.design ?? scenario.design),
		createCpu: (memory) => host.createCpu(options.cpu ?? scenario.cpu, memory),
		vmlinux: objects.vmlinux,
		image: await host.engineImage(),
		cpus: scenario.cpus,
		seed: options.seed ?? scenario.seed,
		hz: scenario.hz,
		memoryBytes: scenario.memory,
	});
	return { machine, objects };
}

/** Runs a scenario from its first step to its last, and reports what every task ran at each. */
export async function runScenario(scenario: Scenario, options: RunScenarioOptions): Promise<Report> {
	const { machine, objects } = await createScenarioMachine(scenario, options);
	const selftest = await loadSelftest(scenario, options.host.files, machine);
	try {
		if (options.traceInsns !== undefined) {
			machine.observe({ instruction: await tracer(machine, options.host.loadCapstone, options.traceInsns) });
		}
		return new ScenarioRun(scenario, machine, objects, options, selftest).run();
	} finally {
		machine.close();
	}
}

class ScenarioRun {
	readonly #scenario: Scenario;
	readonly #machine: Machine;
	readonly #objects: LoadedObjects;
	readonly #seed: bigint | number;
	readonly #tasks = new Map<string, task_struct>();
	/** The names of all tasks there ever were. */
	readonly #names = new Set<string>();
	#violations: ReportViolation[] = [];
	readonly #failures: ReportFailure[] = [];
	readonly #steps: ReportStep[] = [];
	readonly #observer: Observer;
	readonly #ops: ScenarioOps;
	readonly #selftest: Selftest | undefined;
	/** Index of the step that is running, from 1. */
	#index = 0;
	/** Lines of dmesg that the last `expect: { dmesg }` has seen, and that the last step has reported. */
	#dmesgExpected = 0;
	#dmesgReported = 0;
	#lastErrno = 0;
	/** Tasks with `sleeps_in` fall asleep in `run` steps only: while the machine settles, they go on. */
	#mayFallAsleep = false;

	constructor(
		scenario: Scenario,
		machine: Machine,
		objects: LoadedObjects,
		options: RunScenarioOptions,
		selftest: Selftest | undefined,
	) {
		this.#selftest = selftest;
		this.#scenario = scenario;
		this.#machine = machine;
		this.#objects = objects;
		this.#seed = options.seed ?? scenario.seed;
		const watched = watchedFunctions(scenario, machine);
		machine.observe({ enable: (patch) => watchPatch(watched, machine, patch) });
		if (options.onEvent !== undefined) tell(machine, options.onEvent);
		const checker = new InvariantChecker(machine, watched, (violation) => this.#violated(violation));
		this.#observer = new Observer(machine, checker, watched, this.#tasks);
		this.#ops = new ScenarioOps(machine, scenario.ops);
		for (const spec of scenario.tasks.values()) this.#add(spec, machine.addTask(this.#newTask(spec)));
		checker.check("start");
	}

	run(): Report {
		const { design } = this.#machine.klp;
		for (const step of this.#scenario.steps) {
			this.#index++;
			this.#selftest?.before(step, step.kind === "insmod" ? this.#params(step) : new Map());
			const errno = this.#stepOrFail(step);
			this.#selftest?.after(step, errno);
			this.#dropEchoes();
			if (step.kind !== "expect" && step.kind !== "state") {
				this.#lastErrno = errno;
				this.#failIf(step, checkErrno(errno, expectedErrno(step, design.name)));
			}
			const dmesg = this.#machine.dmesg.lines();
			this.#steps.push({
				index: this.#index,
				action: describeStep(step),
				errno,
				...this.#observer.state(),
				dmesg: dmesg.slice(this.#dmesgReported),
			});
			this.#dmesgReported = dmesg.length;
		}
		const tests = this.#selftest?.results(this.#failures, this.#violations);
		const verdict = this.#violations.length > 0 ? "violated" : "consistent";
		const expected = expectedVerdict(this.#scenario, design.name) ?? "consistent";
		return {
			schema: 1,
			scenario: this.#scenario.title,
			design: design.name,
			cpu: this.#machine.cpu.name,
			seed: reportSeed(this.#seed),
			verdict,
			asExpected: this.#failures.length === 0 && expected === verdict && (tests ?? []).every(({ ok }) => ok),
			violations: this.#violations,
			failures: this.#failures,
			steps: this.#steps,
			dmesg: this.#machine.dmesg.lines(),
			...(tests && { tests }),
		};
	}

	#violated({ invariant, task, func, from, to, message }: Violation): void {
		const violation: ReportViolation = {
			invariant,
			step: this.#index,
			task: task?.comm ?? null,
			func: func ?? null,
			from: from ?? null,
			to: to ?? null,
			message,
		};
		this.#violations.push(violation);
	}

	/**
	 * What the machine's own tasks (shell, kworker, idle) suffer only counts where no task of the scenario suffers the same in
	 * the step that has just ended.
	 */
	#dropEchoes(): void {
		const isOwn = ({ task }: ReportViolation) => task !== null && !this.#names.has(task);
		const told = this.#violations.filter(({ step }) => step === this.#index).filter((other) => !isOwn(other));
		const echo = (violation: ReportViolation) =>
			violation.step === this.#index &&
			isOwn(violation) &&
			told.some((other) => other.invariant === violation.invariant && other.func === violation.func);
		this.#violations = this.#violations.filter((violation) => !echo(violation));
	}

	#failIf(step: Step, message: string | undefined): void {
		if (message === undefined) return;
		this.#failures.push({ step: this.#index, where: whereOf(this.#scenario.fileName, step.position), message });
	}

	/** A step that cannot be made (its task is dead, something waits for ever) fails; the run goes on. */
	#stepOrFail(step: Step): number {
		try {
			return this.#step(step);
		} catch (error) {
			if (!(error instanceof KlpemuError)) throw error;
			this.#failIf(step, error.hint === undefined ? error.message : `${error.message} (${error.hint})`);
			return expectedErrno(step, this.#machine.klp.design.name);
		}
	}

	/** Makes one step; its result is 0 or a negative errno. */
	#step(step: Step): number {
		const machine = this.#machine;
		switch (step.kind) {
			case "insmod":
				return this.#insmod(step);
			case "rmmod":
				return machine.rmmod(step.module);
			case "settle":
				return this.#settle(step);
			case "run":
				return this.#run(step);
			case "sleep":
				return this.#rounds(Math.ceil(step.seconds * machine.hz));
			case "disable":
			case "enable":
				return machine.writeSysfs(`${step.livepatch}/enabled`, step.kind === "enable" ? "1" : "0");
			case "reverse":
				return this.#reverse(step.livepatch);
			case "force":
				return machine.writeSysfs(`${step.livepatch ?? this.#inTransition()}/force`, "1");
			case "echo":
				return machine.write(step.path, step.value);
			case "cat":
				return this.#cat(step);
			case "stat":
				return this.#stat(step);
			case "sysctl":
				return machine.write(`/proc/sys/${step.name.replaceAll(".", "/")}`, step.value);
			case "register":
			case "unregister":
				return machine.runAsShell(this.#ops[step.kind](step.ops));
			case "cpu_up":
			case "cpu_down":
				return machine.runAsShell(machine.hotplug[step.kind](step.cpu));
			case "wake":
				for (const name of step.tasks) machine.wake(this.#task(name));
				return 0;
			case "fork":
				// The name first: the child may break something in the instant it is there.
				this.#names.add(step.child.name);
				this.#add(step.child, machine.fork(this.#task(step.parent), this.#newTask(step.child)));
				return 0;
			case "exit":
				return this.#exit(step.tasks);
			case "call":
				return this.#call(step);
			case "race":
				for (const one of step.actors.flat()) this.#stepOrFail(one);
				return 0;
			case "state":
				return 0;
			case "test":
				this.#selftest!.begin(step.title, this.#index);
				return 0;
			case "expect":
				this.#expect(step);
				return this.#lastErrno;
		}
	}

	#add(spec: TaskSpec, task: task_struct): void {
		this.#names.add(spec.name);
		this.#tasks.set(spec.name, task);
	}

	#task(name: string): task_struct {
		const task = this.#tasks.get(name);
		if (task === undefined) throw new KlpemuError("SCENARIO_NO_TASK", `task '${name}' has ended already`);
		if (task.oops !== undefined) throw new KlpemuError("SCENARIO_NO_TASK", `task '${name}' is dead: ${task.oops}`);
		return task;
	}

	#newTask(spec: TaskSpec): NewTask {
		const calls = spec.calls.map((name) => this.#machine.kallsyms(undefined, name)[0]?.address ?? this.#inModule(name));
		const { sleeps_in } = spec;
		const sleepAt =
			sleeps_in === undefined ? undefined : () => (this.#mayFallAsleep ? this.#observer.bodies(sleeps_in) : []);
		const { name, kthread, cpu, idle, interruptible } = spec;
		return { name, kthread, calls, sleepAt, interruptible, cpu, idle };
	}

	#inModule(name: string): Kaddr {
		for (const mod of this.#machine.modules.values()) {
			const symbol = mod.image.symbol(name);
			if (symbol !== undefined) return symbol.address;
		}
		throw new KlpemuError("SCENARIO_UNKNOWN_FUNC", `function '${name}' is in a module that is not loaded yet`);
	}

	/** Module parameters as insmod's command line has them. */
	#params(step: Step & { kind: "insmod" }): Map<string, string> {
		const text = (value: ParamValue) =>
			typeof value === "string" ? value : value.pids.map((name) => this.#task(name).pid).join(",");
		return new Map([...step.params].map(([name, value]) => [name, text(value)]));
	}

	#insmod(step: Step & { kind: "insmod" }): number {
		const { module: name } = step;
		const params = this.#params(step);
		const spec = this.#scenario.livepatches.get(name);
		if (spec === undefined) return this.#machine.insmod(name, this.#objects.modules.get(name)!, { params });
		const objects: readonly ElfObject[] = this.#objects.livepatches.get(name)!;
		if (spec.objects.length === 0) return this.#machine.insmod(name, objects, { params, fields: designFields(spec) });
		return this.#machine.insmod(name, objects, { params, patchOf: (mod) => livepatch(spec, mod) });
	}

	#settle(step: Step & { kind: "settle" }): number {
		const ends = this.#machine.settle(step.rounds);
		this.#failIf(step, ends ? undefined : `the transition does not end within ${step.rounds} rounds`);
		return 0;
	}

	#run(step: Step & { kind: "run" }): number {
		this.#mayFallAsleep = true;
		if (step.tasks.length === 0) this.#rounds(step.rounds);
		else this.#runUntilAsleep(step);
		this.#mayFallAsleep = false;
		return 0;
	}

	#runUntilAsleep(step: Step & { kind: "run" }): void {
		// A task that is to sleep in some function sleeps nowhere else; it may do so again and again.
		const asleep = (task: task_struct) =>
			task.program.sleepAt === undefined
				? task.__state !== TASK_RUNNING
				: task.held || (task.slept && task.__state !== TASK_RUNNING);
		for (const name of step.tasks) if (!asleep(this.#task(name))) this.#task(name).slept = false;
		for (let i = 0; !step.tasks.every((name) => asleep(this.#task(name))); i++) {
			if (i >= step.rounds) {
				this.#failIf(step, `not asleep after ${step.rounds} rounds: ${step.tasks.join(", ")}`);
				break;
			}
			this.#machine.round();
		}
	}

	#rounds(count: number): number {
		for (let i = 0; i < count; i++) this.#machine.round();
		return 0;
	}

	/** The patch that is in transition; a name that no file has when there is none, so that a write gives -ENOENT. */
	#inTransition(): string {
		return this.#machine.klp.inTransition ?? "(none in transition)";
	}

	#reverse(livepatch: string | undefined): number {
		const path = `${livepatch ?? this.#inTransition()}/enabled`;
		const value = this.#machine.sysfs.read(path);
		return typeof value === "number" ? value : this.#machine.writeSysfs(path, value === "1" ? "0" : "1");
	}

	#cat(step: Step & { kind: "cat" }): number {
		const content = this.#machine.read(step.path);
		if (typeof content === "number") return content;
		const lines = content.replace(/\n$/, "").split("\n");
		const value = lines.filter((line) => line.includes(step.grep ?? "")).join("\n");
		if (step.value !== undefined && step.value !== value) {
			this.#failIf(step, `${step.path} holds '${value}', not '${step.value}'`);
		}
		return step.to === undefined || value === "" ? 0 : this.#machine.write(step.to, value);
	}

	#stat(step: Step & { kind: "stat" }): number {
		const rights = this.#machine.files.rights(step.path);
		if (rights === undefined) return -ENOENT;
		if (rights !== step.rights) this.#failIf(step, `${step.path} is ${rights}, not ${step.rights}`);
		return 0;
	}

	#exit(names: readonly string[]): number {
		for (const name of names) {
			this.#machine.exit(this.#task(name));
			this.#tasks.delete(name);
		}
		return 0;
	}

	/** Lets the task make one call and leave the kernel again. */
	#call(step: Step & { kind: "call" }): number {
		const machine = this.#machine;
		const task = this.#task(step.task);
		const result = machine.callOnce(task, this.#newTask({ ...CALLER, calls: [step.func] }).calls[0]!, CALL_ROUNDS);
		if (result === undefined) this.#failIf(step, `${step.func} does not return within ${CALL_ROUNDS} rounds`);
		else if (step.value !== undefined && BigInt.asIntN(64, step.value) !== BigInt.asIntN(64, result)) {
			this.#failIf(step, `${step.func} returns ${BigInt.asIntN(64, result)}, not ${BigInt.asIntN(64, step.value)}`);
		}
		return 0;
	}

	#expect(step: Step & { kind: "expect" }): void {
		const { expect } = step;
		if (!appliesTo(expect, this.#machine.klp.design.name)) return;
		const lines = this.#machine.dmesg.lines();
		const state = this.#observer.state();
		const found = {
			...state,
			tasks: { ...state.tasks, ...this.#observer.idleTasks() },
			calls: this.#ops.calls,
			trace: this.#machine.tracefs.lines(),
			dmesg: lines.slice(this.#dmesgExpected),
		};
		for (const message of checkExpectation(expect, found)) this.#failIf(step, message);
		if (expect.dmesg !== undefined) this.#dmesgExpected = lines.length;
	}
}

/** Reports events of a machine. */
function tell(machine: Machine, onEvent: (event: string) => void): void {
	const who = () => `${machine.executor.instructions} ${machine.executor.current.comm}`;
	machine.observe({
		point: (label) => onEvent(`${who()} ${label}`),
		call: (task, func, result) => onEvent(`${who()} ${task.comm}: ${machine.symbolize(func)} -> ${result}`),
	});
}

const CALLER: TaskSpec = {
	name: "",
	group: "",
	kthread: false,
	calls: [],
	sleeps_in: undefined,
	interruptible: false,
	cpu: undefined,
	idle: false,
	fork: false,
	exit: false,
	position: { line: 0, column: 0 },
};

/** The functions that the scenario's livepatches change, each once, in the order of the file. */
export function watchedFunctions(scenario: Scenario, machine: Machine): WatchedFunction[] {
	const watched = new Map<string, { short: string; object: string; resolve: WatchedFunction["resolve"] }>();
	for (const { objects } of scenario.livepatches.values()) {
		for (const object of objects) {
			for (const { old_name, sympos } of object.funcs) {
				const short = sympos > 1 ? `${old_name}#${sympos}` : old_name;
				const resolve = resolver(machine, object.name, old_name, sympos);
				watched.set(`${object.name}:${short}`, { short, object: object.name, resolve });
			}
		}
	}
	// A function is called by its name alone where no other object has one that is patched too.
	const all = [...watched.values()];
	const unique = (short: string) => all.filter((other) => other.short === short).length === 1;
	return all.map(({ short, object, resolve }) => ({
		name: unique(short) || object === "vmlinux" ? short : `${object}:${short}`,
		resolve,
	}));
}

/** Where a function is, as long as its object is there. */
function resolver(machine: Machine, object: string, name: string, sympos: number): WatchedFunction["resolve"] {
	const module = object === "vmlinux" ? undefined : object;
	const live = () => module === undefined || machine.modules.get(module)?.live === true;
	return () => (live() ? machine.kallsyms(module, name)[Math.max(sympos, 1) - 1] : undefined);
}

/** Adds the functions of a patch that a C module enables, unless the scenario has them already. */
function watchPatch(watched: WatchedFunction[], machine: Machine, patch: klp_patch): void {
	if (patch.address === undefined) return;
	for (const { label, funcs } of patch.objs) {
		for (const { old_name, old_sympos } of funcs) {
			const short = old_sympos > 1 ? `${old_name}#${old_sympos}` : old_name;
			const name = label === "vmlinux" ? short : `${label}:${short}`;
			if (watched.some((other) => other.name === name || other.name === short)) continue;
			watched.push({ name, resolve: resolver(machine, label, old_name, old_sympos) });
		}
	}
}

/** The klp_patch of a livepatch module that a scenario describes. */
export function livepatch(spec: LivepatchSpec, mod: LoadedModule): klp_patch {
	const objs = spec.objects.map(
		(object) =>
			new klp_object({
				name: object.name === "vmlinux" ? undefined : object.name,
				funcs: object.funcs.map(
					(func) =>
						new klp_func({
							old_name: func.old_name,
							new_name: func.new_func,
							new_func: mod.image.symbol(func.new_func)?.address ?? 0,
							old_sympos: func.sympos,
							replaceable: func.replaceable,
						}),
				),
			}),
	);
	const states = spec.states.map(({ id, version }) => ({ id: BigInt(id), version }));
	return new klp_patch({ mod, objs, states, fields: designFields(spec) });
}

/** The fields of struct klp_patch that the scenario gives. */
function designFields({ replace, replaceable, replace_set }: LivepatchSpec): Partial<klp_patch_fields> {
	return {
		...(replace !== undefined && { replace: Boolean(replace), replace_tag: Number(replace) }),
		...(replaceable !== undefined && { replaceable }),
		...(replace_set !== undefined && { replace_set }),
	};
}
