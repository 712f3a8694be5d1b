import { describeStep, type OpsSpec, ROUNDS_LIMIT, type Step, type TaskSpec } from "../../scenario/index.js";
import { generalNotes, MIN_CPUS, taskNotes } from "./notes.js";
import { type KitPlan, TARGET } from "./plan.js";

/** What a kernel cannot do of a step, or does otherwise. */
export interface KitNote {
	/** Its place in the scenario's `steps`, from 1; undefined: it is about all of the scenario. */
	readonly step: number | undefined;
	readonly text: string;
}

/** run.sh, and what of the scenario it cannot do. */
export interface KitScript {
	readonly text: string;
	readonly notes: readonly KitNote[];
}

/** A word for the shell, in single quotes. */
function quote(text: string): string {
	return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The same, bare where the shell takes it so. */
function word(text: string): string {
	return /^[\w.,:/+=@%-]+$/.test(text) ? text : quote(text);
}

type Note = (text: string) => void;

/** Shell lines for each kind of step; none: it looks only, which the record of the state does. */
class Steps {
	readonly #plan: KitPlan;
	readonly tasks: string[] = [];

	constructor(plan: KitPlan) {
		this.#plan = plan;
	}

	/** Declares a task; a forked one is started by its parent. */
	declare(spec: TaskSpec, forked: boolean, note: Note): string[] {
		const { name, kthread, cpu, calls, sleeps_in, interruptible, idle } = spec;
		this.tasks.push(name);
		for (const text of taskNotes(spec, this.#plan)) note(text);
		if (forked && kthread) note(`${name} is made by kthreadd, and has its patch_state, not that of its parent`);
		const bodies = sleeps_in === undefined ? [] : this.#plan.bodiesOf(sleeps_in);
		return [
			`kit ${quote(`task ${name}`)}`,
			...(calls.length > 0
				? [`kit ${quote(`calls ${name} ${calls.map((func) => this.#place(func)).join(" ")}`)}`]
				: []),
			...(bodies.length > 0
				? [`kit ${quote(`sleeps ${name} ${interruptible ? "interruptible" : "idle"} ${bodies.join(" ")}`)}`]
				: []),
			...(idle ? [`kit ${quote(`park ${name}`)}`] : []),
			...(kthread ? [`kit ${quote(`kthread ${name}${cpu === undefined ? "" : ` ${cpu}`}`)}`] : []),
			...(kthread || forked ? [] : [`user ${word(name)}${cpu === undefined ? "" : ` ${cpu}`}`]),
		];
	}

	declareOps({ name, flags, ip, funcs, func, direct, shared }: OpsSpec, note: Note): string[] {
		if (funcs.length === 0) note(`ftrace_ops ${name} is attached to all functions of the real kernel`);
		const named = [...flags, ...(ip === undefined ? [] : ["IPMODIFY"])];
		const words = [
			...(named.length > 0 ? [`flags=${named.join(",")}`] : []),
			...Object.entries({ ip, func, direct, shared }).flatMap(([key, value]) =>
				value === undefined ? [] : [`${key}=${this.#place(value)}`],
			),
			...funcs.map((site) => this.#place(site)),
		];
		return [`kit ${quote(["ops", name, ...words].join(" "))}`];
	}

	/** `klp_target:funcA`, as the harness reads it. */
	#place(func: string): string {
		const { object, name } = this.#plan.placeOf(func);
		return `${object}:${name}`;
	}

	lines(step: Step, note: Note): string[] {
		switch (step.kind) {
			case "insmod":
				return [this.#insmod(step)];
			case "rmmod":
				return [cmd(`rmmod ${step.module}`)];
			case "settle":
				if (step.rounds !== ROUNDS_LIMIT) note(`rounds is a limit of the emulated machine: it waits for up to 60 s`);
				return ["settle"];
			case "run":
				if (step.tasks.length === 0) return [`run_for ${seconds(step.rounds / this.#plan.scenario.hz)}`];
				if (step.rounds !== ROUNDS_LIMIT) note(`rounds is a limit of the emulated machine: it waits for up to 20 s`);
				return [`run_until_asleep ${step.tasks.map(word).join(" ")}`];
			case "sleep":
				return [`sleep ${step.seconds}`];
			case "disable":
				return [cmd(`echo 0 > $KL/${step.livepatch}/enabled`)];
			case "enable":
				return [cmd(`echo 1 > $KL/${step.livepatch}/enabled`)];
			case "reverse":
				return [cmd(`echo $(opposite ${file(step.livepatch, "enabled")}) > ${file(step.livepatch, "enabled")}`)];
			case "force":
				return [cmd(`echo 1 > ${file(step.livepatch, "force")}`)];
			case "echo":
				return [cmd(`echo ${word(step.value)} > ${this.#path(step.path)}`)];
			case "cat":
				return [this.#cat(step)];
			case "stat":
				return [cmd(`stat -c %A ${this.#path(step.path)}`)];
			case "sysctl":
				return [cmd(`echo ${word(step.value)} > /proc/sys/${step.name.replaceAll(".", "/")}`)];
			case "cpu_up":
			case "cpu_down":
				return [cmd(`echo ${step.kind === "cpu_up" ? 1 : 0} > /sys/devices/system/cpu/cpu${step.cpu}/online`)];
			case "wake":
				return step.tasks.map((name) => `kit ${quote(`wake ${name}`)}`);
			case "exit":
				return step.tasks.map((name) => `kit ${quote(`exit ${name}`)}`);
			case "fork":
				return this.#fork(step, note);
			case "call":
				if (step.value !== undefined && step.args === undefined) {
					note("value: not compared, for the argument is the task's pid, which is another one (args gives others)");
				}
				return [this.#call(step)];
			case "register":
			case "unregister":
				return [cmd(`echo ${step.kind} ${step.ops} > /proc/klpkit`)];
			case "modify":
				return [cmd(`echo modify ${step.ops} ${this.#place(step.direct)} > /proc/klpkit`)];
			case "race":
				note("a kernel does not say who is first: one list is made after the other");
				return step.actors.flatMap((steps) => steps.flatMap((one) => this.lines(one as Step, note)));
			case "expect":
				return this.#expect(step, note);
			case "state":
			case "test":
				return [];
		}
	}

	#insmod({ module, params }: Extract<Step, { kind: "insmod" }>): string {
		const values = [...params].map(([name, value]) => {
			const text = typeof value === "string" ? word(value) : value.pids.map((task) => `$(pid_of ${task})`).join(",");
			return ` ${name}=${text}`;
		});
		return cmd(`insmod ./${module}.ko${values.join("")}`);
	}

	#fork({ parent, child, window }: Extract<Step, { kind: "fork" }>, note: Note): string[] {
		if (window > 0) {
			note("window: a kernel does not say what others do in the middle of copy_process(); nothing is waited for there");
		}
		const declared = this.declare(child, true, note);
		const cpu = child.cpu === undefined ? "" : ` ${child.cpu}`;
		return child.kthread ? declared : [...declared, `forked ${word(parent)} ${word(child.name)}${cpu}`];
	}

	#call({ task, func, args }: Extract<Step, { kind: "call" }>): string {
		const numbers = (args ?? []).map((arg) => ` 0x${BigInt.asUintN(64, arg).toString(16)}`);
		return `call ${word(task)} ${this.#place(func)}${numbers.join("")}`;
	}

	/** klpemu compare looks at the rest: the record of the state has it. */
	#expect({ expect }: Extract<Step, { kind: "expect" }>, note: Note): string[] {
		if (expect.func_stacks.size > 0) note("func_stacks: no file of a kernel shows its func_stacks");
		if (expect.calls.size > 0) {
			note(
				"calls: recorded, but not compared, since a task that is asked what it runs passes the sites, and is counted",
			);
		}
		if (expect.trace !== undefined) note("trace: /sys/kernel/tracing/trace is not recorded; a step cat reads it");
		return [];
	}

	#cat({ path, grep, to }: Extract<Step, { kind: "cat" }>): string {
		const reads =
			grep === undefined
				? `cat ${this.#path(path)}`
				: `grep -F ${grep.startsWith("-") ? "-e " : ""}${word(grep)} ${this.#path(path)}`;
		return cmd(to === undefined ? reads : `${reads} > ${this.#path(to)}`);
	}

	/** A path of the scenario on the real machine: pids for names of tasks, the target module for vmlinux. */
	#path(path: string): string {
		const proc = /^\/proc\/([^/]+)\/(.*)$/.exec(path);
		if (proc !== null && this.tasks.includes(proc[1]!)) return `/proc/$(pid_of ${proc[1]})/${proc[2]}`;
		const livepatch = /^(\/sys\/kernel\/livepatch\/\w+)\/vmlinux(\/([^,]+).*)?$/.exec(path);
		if (livepatch === null) return path;
		const func = livepatch[3];
		const object = func === undefined ? TARGET : this.#plan.objectOf("vmlinux", func);
		return `${livepatch[1]}/${object}${livepatch[2] ?? ""}`;
	}
}

/** In a comment. */
function oneLine(text: string): string {
	return text.replaceAll(/\s+/g, " ");
}

/** In double quotes, which `cmd` evaluates. */
function cmd(command: string): string {
	return `cmd ${quote(command)}`;
}

function file(livepatch: string | undefined, name: string): string {
	return `$KL/${livepatch ?? "$(in_transition)"}/${name}`;
}

/** Time for what is on its way; below the second after which livepatch looks at all tasks again. */
function seconds(time: number): string {
	return String(Math.max(0.3, Math.round(time * 100) / 100));
}

/** Writes run.sh. */
export function scriptOf(plan: KitPlan, name: string): KitScript {
	const { scenario, design } = plan;
	const steps = new Steps(plan);
	const notes: KitNote[] = [];
	const general: Note = (text) => notes.push({ step: undefined, text });
	generalNotes(plan).forEach(general);
	const start = [
		...[...scenario.ops.values()].flatMap((ops) => steps.declareOps(ops, general)),
		...[...scenario.tasks.values()].flatMap((task) => steps.declare(task, false, general)),
	];
	const body = scenario.steps.flatMap((step, index) => {
		const title = describeStep(step);
		if (step.kind === "state") return [`state ${quote(step.title)}`, ""];
		const own: string[] = [];
		const lines = steps.lines(step, (text) => own.push(text));
		notes.push(...own.map((text) => ({ step: index + 1, text })));
		const cannot = own.map((text) => `cannot ${index + 1} ${quote(text)}`);
		// No action: it is compared with the state that is recorded after the step before.
		if (step.kind === "expect") return [`# Step ${index + 1}: ${oneLine(title)}`, ...cannot, ""];
		return [`step ${index + 1} ${quote(title)}`, ...cannot, ...lines, `after ${index + 1} ${quote(title)}`, ""];
	});
	const words = (list: readonly string[]) => quote([...new Set(list)].join(" "));
	const all = [...plan.livepatches, ...plan.modules].map((module) => module.name);
	const fields = [...new Set(plan.livepatches.flatMap(({ patch }) => Object.keys(patch?.fields ?? {})))];
	const text = [
		"#!/bin/sh",
		"# SPDX-License-Identifier: GPL-2.0-only",
		`# Written by klpemu kit from ${scenario.fileName.split("/").at(-1)}: ${oneLine(scenario.title)}`,
		`# cpus: ${Math.max(MIN_CPUS, scenario.cpus)}`,
		...(scenario.preemption === "full" ? ["# append: preempt=full"] : []),
		"# The steps of the scenario, in order. README.md says what is recorded, and what a kernel cannot do.",
		'cd "$(dirname "$0")" || exit 2',
		`CPUS=${scenario.cpus}`,
		`MODULES=${words([...all, TARGET])}`,
		`UNLOAD=${words([...all, TARGET])}`,
		`OPS=${words([...scenario.ops.keys()])}`,
		`WATCHED=${words(plan.watched.map((func) => func.name))}`,
		`WATCHED_IN=${words(plan.watched.map((func) => `${func.object}:${func.name}`))}`,
		`FIELDS=${words(fields.filter((field) => field !== "replace"))}`,
		`TASKS=${words(steps.tasks)}`,
		". ./kit.sh",
		"",
		`begin ${quote(name)} ${quote(design)}`,
		...notes.filter(({ step }) => step === undefined).map((note) => `say ${quote(`cannot: ${note.text}`)}`),
		cmd(`insmod ./${TARGET}.ko`),
		...start,
		"",
		...body,
		`finish ${quote(name)}`,
		"",
	].join("\n");
	return { text, notes };
}
