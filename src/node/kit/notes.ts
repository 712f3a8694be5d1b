/** What of a scenario a kernel cannot do, or does otherwise, apart from its steps. */
import { findDesign } from "../../designs/index.js";
import { DEFAULTS, type LivepatchSpec, type TaskSpec } from "../../scenario/index.js";
import type { KitPlan } from "./plan.js";

/** klpemu vm: the script needs a CPU while a task runs in the kernel. */
export const MIN_CPUS = 2;

/** About all of the scenario. */
export function generalNotes(plan: KitPlan): string[] {
	const { scenario, design } = plan;
	const { core, cpu, cpus, preemption, seed, hz, ibt, memory } = scenario;
	const all: [boolean, string][] = [
		[
			scenario.design !== design,
			`design: the scenario is about ${scenario.design}, this kit is for a kernel with ${design} (klpemu kit --design)`,
		],
		[
			core !== undefined,
			"core: the kernel that runs has its own livepatch code; a changed one needs a kernel built of it",
		],
		[cpu !== undefined, "cpu: the machine has its own processor"],
		[cpus < MIN_CPUS, `cpus: klpemu vm has ${MIN_CPUS}, one of them for the script`],
		[
			preemption === "full",
			"preemption: full needs a kernel booted with preempt=full (klpemu vm --append preempt=full), and luck: nobody says where a task loses its CPU",
		],
		[seed !== DEFAULTS.seed, "seed: a kernel's schedule is its own"],
		[hz !== DEFAULTS.hz, `hz: a round lasts 1/${hz} s, as the scenario says; the kernel's CONFIG_HZ is its own`],
		[ibt, "ibt: endbr64 is there if the kernel is built with CONFIG_X86_KERNEL_IBT"],
		[memory !== DEFAULTS.memory, "memory: the machine has its own"],
	];
	return [
		...all.flatMap(([applies, text]) => (applies ? [text] : [])),
		...fieldNotes(plan),
		...plan.unwatched.map(({ name, why }) => `which implementation of ${name} a task runs is not recorded: ${why}`),
	];
}

/** Fields of other designs than the kernel's, which its structures do not have. */
function fieldNotes({ scenario, design }: KitPlan): string[] {
	const { fields, funcFields = [] } = findDesign(design);
	const kept = (spec: LivepatchSpec) => {
		const section = spec.designs.get(design);
		return { patch: section?.fields ?? spec.fields, funcs: section?.funcs };
	};
	const foreign = new Set<string>();
	for (const spec of scenario.livepatches.values()) {
		const { patch, funcs } = kept(spec);
		for (const key of Object.keys(patch)) if (!fields.some(({ name }) => name === key)) foreign.add(`klp_patch.${key}`);
		for (const func of spec.objects.flatMap((object) => object.funcs)) {
			const values = funcs === undefined ? func.fields : (funcs.get(func.old_name) ?? {});
			for (const key of Object.keys(values))
				if (!funcFields.some(({ name }) => name === key)) foreign.add(`klp_func.${key}`);
		}
	}
	if (foreign.size === 0) return [];
	return [
		`${[...foreign].join(", ")}: a kernel with ${design} has no such field, and the livepatches are built without it`,
	];
}

/** About a task, at the start or forked. */
export function taskNotes({ name, fork, exit, exit_calls, calls, sleeps_in }: TaskSpec, plan: KitPlan): string[] {
	const real = calls.filter((func) => plan.inVmlinux.has(func));
	const nowhere = sleeps_in !== undefined && plan.inVmlinux.has(sleeps_in);
	return [
		...(fork || exit ? [`${name} does not fork or exit by itself: only the explorer moves it there`] : []),
		...(exit_calls.length > 0 ? [`${name}: no function is called from do_exit() of a real kernel (exit_calls)`] : []),
		...(real.length > 0 ? [`${name} calls ${real.join(", ")} of the real vmlinux, with its pid as the argument`] : []),
		...(nowhere ? [`${name} does not fall asleep in ${sleeps_in}: the real vmlinux is not compiled by the kit`] : []),
	];
}
