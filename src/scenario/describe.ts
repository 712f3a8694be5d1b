import type { Expectation, ParamValue, Step } from "./types.js";

function names(list: readonly string[]): string {
	return list.join(", ");
}

function describeExpectation(expect: Expectation): string {
	const parts: string[] = [];
	if (expect.errno !== undefined) parts.push(`errno ${expect.errno}`);
	if (expect.patch_state !== undefined) parts.push(expect.patch_state);
	if (expect.pending !== undefined) parts.push(expect.pending ? "pending" : "not pending");
	if (expect.in !== undefined) parts.push(expect.in === null ? "in no patched function" : `in ${expect.in}`);
	for (const [func, impl] of expect.view) parts.push(`${func} -> ${impl}`);
	for (const [path, value] of expect.sysfs) parts.push(value === null ? `no ${path}` : `${path} = ${value}`);
	for (const [func, stack] of expect.func_stacks) parts.push(`${func} [${names(stack)}]`);
	for (const [ops, count] of expect.calls) parts.push(`${ops} called ${count} times`);
	if (expect.trace !== undefined) parts.push(`trace, ${expect.trace.length} lines`);
	if (expect.dmesg !== undefined) parts.push(`dmesg, ${expect.dmesg.length} lines`);
	const who = expect.tasks.length === 0 ? "" : `${names(expect.tasks)}: `;
	const when = expect.designs === undefined ? "" : ` (${names(expect.designs)})`;
	return `expect ${who}${parts.join(", ")}${when}`;
}

function paramText(value: ParamValue): string {
	return typeof value === "string" ? value : `pids of ${names(value.pids)}`;
}

/** One line for people, in the words of a shell where there are such: `insmod lp1`, `echo 0 > lp3/enabled`. */
export function describeStep(step: Step): string {
	switch (step.kind) {
		case "insmod":
			return ["insmod", step.module, ...[...step.params].map(([key, value]) => `${key}=${paramText(value)}`)].join(" ");
		case "rmmod":
			return `rmmod ${step.module}`;
		case "settle":
			return "settle";
		case "run":
			if (step.tasks.length > 0) return `run ${names(step.tasks)} until asleep`;
			return step.rounds === 1 ? "run 1 round" : `run ${step.rounds} rounds`;
		case "sleep":
			return `sleep ${step.seconds}`;
		case "disable":
		case "enable":
			return `${step.kind} ${step.livepatch}`;
		case "reverse":
		case "force":
			return step.livepatch === undefined ? step.kind : `${step.kind} ${step.livepatch}`;
		case "echo":
			return `echo ${step.value} > ${step.path}`;
		case "cat":
			return [
				step.grep === undefined ? `cat ${step.path}` : `grep '${step.grep}' ${step.path}`,
				...(step.to === undefined ? [] : [`> ${step.to}`]),
			].join(" ");
		case "stat":
			return `stat ${step.path}`;
		case "sysctl":
			return `sysctl ${step.name}=${step.value}`;
		case "register":
		case "unregister":
			return `${step.kind} ${step.ops}`;
		case "cpu_up":
		case "cpu_down":
			return `${step.kind} ${step.cpu}`;
		case "wake":
		case "exit":
			return `${step.kind} ${names(step.tasks)}`;
		case "fork":
			return `fork ${step.child.name} from ${step.parent}`;
		case "call":
			return `call ${step.func} in ${step.task}`;
		case "race":
			return `race: ${step.actors.map((steps) => steps.map(describeStep).join(", ")).join(" | ")}`;
		case "state":
			return `state: ${step.title}`;
		case "test":
			return `test: ${step.title}`;
		case "expect":
			return describeExpectation(step.expect);
	}
}
