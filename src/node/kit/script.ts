import { describeStep, type OpsSpec, type Step, type TaskSpec } from "../../scenario/index.js";
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
		const place = (func: string) => {
			const found = this.#plan.placeOf(func);
			return `${found.object}:${found.name}`;
		};
		this.tasks.push(name);
		if (spec.fork || spec.exit) note(`${name} does not fork or exit by itself: only the explorer moves it there`);
		if (spec.exit_calls.length > 0) note(`${name}: no function is called from do_exit() of a real kernel (exit_calls)`);
		if (forked && kthread) note(`${name} is made by kthreadd, and has its patch_state, not that of its parent`);
		const bodies = sleeps_in === undefined ? [] : this.#plan.bodiesOf(sleeps_in);
		return [
			`kit ${quote(`task ${name}`)}`,
			...(calls.length > 0 ? [`kit ${quote(`calls ${name} ${calls.map(place).join(" ")}`)}`] : []),
			...(bodies.length > 0
				? [`kit ${quote(`sleeps ${name} ${interruptible ? "interruptible" : "idle"} ${bodies.join(" ")}`)}`]
				: []),
			...(idle ? [`kit ${quote(`park ${name}`)}`] : []),
			...(kthread ? [`kit ${quote(`kthread ${name}${cpu === undefined ? "" : ` ${cpu}`}`)}`] : []),
			...(kthread || forked ? [] : [`user ${quote(name)}${cpu === undefined ? "" : ` ${cpu}`}`]),
		];
	}

	declareOps({ name, flags, ip, funcs, func, direct }: OpsSpec, note: Note): string[] {
		if (func !== undefined || direct !== undefined) return [];
		if (funcs.length === 0) note(`ftrace_ops ${name} is attached to all functions of the real kernel`);
		const named = [...flags, ...(ip === undefined ? [] : ["IPMODIFY"])].join(",") || "-";
		const place = (one: string) => {
			const found = this.#plan.placeOf(one);
			return `${found.object}:${found.name}`;
		};
		const sites = funcs.map(place).join(" ");
		return [`kit ${quote(`ops ${name} ${named} ${ip === undefined ? "-" : place(ip)} ${sites}`)}`];
	}

	lines(step: Step, note: Note): string[] {
		switch (step.kind) {
			case "insmod":
				return [this.#insmod(step)];
			case "rmmod":
				return [cmd(`rmmod ${step.module}`)];
			case "settle":
				return ["settle"];
			case "run":
				if (step.tasks.length > 0) return [`run_until_asleep ${step.tasks.map(quote).join(" ")}`];
				return [`run_for ${seconds(step.rounds / this.#plan.scenario.hz)}`];
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
				return [cmd(`echo ${quote(step.value)} > ${this.#path(step.path)}`)];
			case "cat":
				return [this.#cat(step)];
			case "stat":
				return [cmd(`stat -c %A ${this.#path(step.path)}`)];
			case "sysctl":
				return [cmd(`echo ${quote(step.value)} > /proc/sys/${step.name.replaceAll(".", "/")}`)];
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
				return [this.#call(step)];
			case "register":
			case "unregister":
				return this.#ops(step, note);
			case "modify":
				note("the harness has no direct ftrace_ops: the step is left out");
				return [];
			case "race":
				note("a kernel does not say who is first: one list is made after the other");
				return step.actors.flatMap((steps) => steps.flatMap((one) => this.lines(one as Step, note)));
			case "state":
			case "test":
			case "expect":
				return [];
		}
	}

	#insmod({ module, params }: Extract<Step, { kind: "insmod" }>): string {
		const values = [...params].map(([name, value]) => {
			const text = typeof value === "string" ? quote(value) : value.pids.map((task) => `$(pid_of ${task})`).join(",");
			return ` ${name}=${text}`;
		});
		return cmd(`insmod ./${module}.ko${values.join("")}`);
	}

	#fork({ parent, child }: Extract<Step, { kind: "fork" }>, note: Note): string[] {
		const declared = this.declare(child, true, note);
		return child.kthread ? declared : [...declared, `forked ${quote(parent)} ${quote(child.name)}`];
	}

	#call({ task, func, args }: Extract<Step, { kind: "call" }>): string {
		const { object, name } = this.#plan.placeOf(func);
		const numbers = (args ?? []).map((arg) => ` 0x${BigInt.asUintN(64, arg).toString(16)}`);
		return `call ${quote(task)} ${object}:${name}${numbers.join("")}`;
	}

	#ops({ kind, ops }: { readonly kind: "register" | "unregister"; readonly ops: string }, note: Note): string[] {
		const { func, direct } = this.#plan.scenario.ops.get(ops)!;
		if (func !== undefined || direct !== undefined) {
			note(`${ops} has a function of its own (func, direct), which the harness has not: the step is left out`);
			return [];
		}
		return [cmd(`echo ${kind} ${ops} > /proc/klpkit`)];
	}

	#cat({ path, grep, to }: Extract<Step, { kind: "cat" }>): string {
		const reads = grep === undefined ? `cat ${this.#path(path)}` : `grep -F ${quote(grep)} ${this.#path(path)}`;
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
	if (scenario.preemption === "full") {
		general(
			"preemption: full needs a kernel booted with preempt=full (klpemu vm --append preempt=full), and luck: nobody says where a task loses its CPU",
		);
	}
	const start = [
		...[...scenario.ops.values()].flatMap((ops) => steps.declareOps(ops, general)),
		...[...scenario.tasks.values()].flatMap((task) => steps.declare(task, false, general)),
	];
	const body = scenario.steps.flatMap((step, index) => {
		const title = describeStep(step);
		if (step.kind === "state") return [`state ${quote(step.title)}`, ""];
		if (step.kind === "expect" || step.kind === "test") return [];
		const own: string[] = [];
		const lines = steps.lines(step, (text) => own.push(text));
		notes.push(...own.map((text) => ({ step: index + 1, text })));
		return [
			`step ${index + 1} ${quote(title)}`,
			...own.map((text) => `cannot ${index + 1} ${quote(text)}`),
			...lines,
			`after ${index + 1} ${quote(title)}`,
			"",
		];
	});
	const words = (list: readonly string[]) => quote([...new Set(list)].join(" "));
	const all = [...plan.livepatches, ...plan.modules].map((module) => module.name);
	const fields = [...new Set(plan.livepatches.flatMap(({ patch }) => Object.keys(patch?.fields ?? {})))];
	const text = [
		"#!/bin/sh",
		"# SPDX-License-Identifier: GPL-2.0-only",
		`# Written by klpemu kit from ${scenario.fileName.split("/").at(-1)}: ${scenario.title.replaceAll("\n", " ")}`,
		`# cpus: ${Math.max(2, scenario.cpus)}`,
		...(scenario.preemption === "full" ? ["# append: preempt=full"] : []),
		"# The steps of the scenario, in order. README.md says what is recorded, and what a kernel cannot do.",
		'cd "$(dirname "$0")" || exit 2',
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
