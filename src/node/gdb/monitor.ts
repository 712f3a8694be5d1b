import { patchStateName } from "../../linux/klp/index.js";
import { type Machine, placeOf } from "../../machine/index.js";

/** Text of `monitor klp`: the transition, each func_stack, and the patch_state of each task. */
export function describeKlp(machine: Machine): string {
	const { klp, kallsyms, sched } = machine;
	const lines = [
		klp.inTransition === undefined
			? "no transition"
			: `transition of ${klp.inTransition} to ${patchStateName(klp.klp_target_state)}`,
	];
	for (const image of kallsyms.images) {
		for (const { name, address, type } of image.symbols) {
			if (type !== "func") continue;
			const entries = klp.funcStack(address).map((entry) => (entry.nop ? "nop" : entry.new_name));
			if (entries.length > 0) lines.push(`func_stack of ${name}: [${entries.join(", ")}]`);
		}
	}
	for (const task of sched.tasks) {
		lines.push(`${task.comm}: ${patchStateName(task.patch_state)}${task.pending ? ", TIF_PATCH_PENDING" : ""}`);
	}
	return `${lines.join("\n")}\n`;
}

/** Text of `monitor bt`: the stack of each task as the kernel's unwinder sees it. */
export function describeStacks(machine: Machine): string {
	const lines: string[] = [];
	for (const task of machine.sched.tasks) {
		lines.push(`${task.comm} ${placeOf(machine, task)}`);
		const trace = machine.unwinder.walk(task);
		for (const entry of trace.entries) lines.push(`  ${machine.symbolize(entry)}`);
		if (!trace.reliable) lines.push("  (the walk is not reliable)");
	}
	return `${lines.join("\n")}\n`;
}
