import { ERRNO } from "../../linux/lib/index.js";
import type { Step } from "../../scenario/index.js";
import type { MadeStep } from "./pace.js";
import { errnoOf, type Transcript, type TranscriptCommand } from "./transcript.js";

/** Commands on modules, files and ftrace_ops, in order, with their results, of a transcript. */
export function recordedResults({ events }: Transcript, modules: ReadonlySet<string>): string[] {
	return events.flatMap((event) => {
		if (event.kind !== "command") return [];
		const text = normalCommand(event, modules);
		return text === undefined ? [] : [`${text} ${errnoOf(event)}`];
	});
}

/** The same of the emulated kernel. `leftOut`: ftrace_ops that the real kernel's side has not. */
export function emulatedResults(made: readonly MadeStep[], leftOut: ReadonlySet<string>): string[] {
	return made.flatMap(({ step, errno }) => {
		const text = commandOf(step, leftOut);
		return text === undefined ? [] : [`${text} ${nameOf(errno)}`];
	});
}

/** Both are the same command with the same result; `*` is what only one of them knows. */
export function sameResult(one: string, other: string): boolean {
	const [words, others] = [one, other].map((text) => text.split(/[ /]/)) as [string[], string[]];
	const same = (word: string, i: number) => word === others[i] || word === "*" || others[i] === "*";
	return words.length === others.length && words.every(same);
}

/** `insmod lp1`, `rmmod lp1`, `echo 0 > lp1/enabled`; undefined: a command that no step of a scenario stands for. */
function normalCommand({ command }: TranscriptCommand, modules: ReadonlySet<string>): string | undefined {
	const module = /^(insmod|rmmod|modprobe(?: -r)?) (?:\S*\/)?(\w+?)(?:\.ko)?(?= |$)/.exec(command);
	if (module !== null)
		return modules.has(module[2]!)
			? `${/^(rmmod|modprobe -r)$/.test(module[1]!) ? "rmmod" : "insmod"} ${module[2]}`
			: undefined;
	const written = /^echo '?(.*?)'? > (?:\$KL|\/sys\/kernel\/livepatch)\/(\S+)$/.exec(command);
	const ops = /^echo '?((?:(?:un)?register|modify) \w+)(?: \S+)?'? > \/proc\/klpkit$/.exec(command);
	if (ops !== null) return ops[1];
	if (written !== null)
		return `echo ${written[1]!.startsWith("$") ? "*" : written[1]} > ${written[2]!.replace(/^\$\(in_transition\)/, "*")}`;
	return undefined;
}

function commandOf(step: Step, leftOut: ReadonlySet<string>): string | undefined {
	switch (step.kind) {
		case "insmod":
		case "rmmod":
			return `${step.kind} ${step.module}`;
		case "disable":
		case "enable":
			return `echo ${step.kind === "enable" ? 1 : 0} > ${step.livepatch}/enabled`;
		case "reverse":
			return `echo * > ${step.livepatch ?? "*"}/enabled`;
		case "force":
			return `echo 1 > ${step.livepatch ?? "*"}/force`;
		case "register":
		case "unregister":
		case "modify":
			return leftOut.has(step.ops) ? undefined : `${step.kind} ${step.ops}`;
		case "echo": {
			const path = /^\/sys\/kernel\/livepatch\/(.*)$/.exec(step.path)?.[1];
			return path === undefined ? undefined : `echo ${step.value} > ${path}`;
		}
		default:
			return undefined;
	}
}

function nameOf(errno: number): string {
	const name = Object.entries(ERRNO).find(([, value]) => value === -errno)?.[0];
	return errno === 0 ? "0" : (name ?? String(errno));
}
