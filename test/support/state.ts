import { createHash } from "node:crypto";
import type { TestMachine } from "./machine.js";

/** Hashes of all guest text, by region. */
export function textHashes(machine: TestMachine): [string, string][] {
	const hash = (bytes: string) => createHash("sha256").update(bytes).digest("hex").slice(0, 16);
	return [...machine.text()].map(([region, bytes]) => [region, hash(bytes)]);
}

/** What an action has led to, by names: addresses may be others the next time. */
export function outcome(machine: TestMachine) {
	const { it, ftrace } = machine;
	const { patches, sysfs, modules, func_stacks, objects, transition, locks } = kernelState(machine);
	const ops = [...ftrace.ftrace_ops_list].map(({ name, filter_hash }) => [
		name,
		[...filter_hash].map((ip) => it.symbolize(ip)),
	]);
	const called = [...ftrace.records.values()].filter(({ count }) => count > 0).map(({ ip }) => it.symbolize(ip));
	return {
		patches,
		sysfs,
		modules,
		func_stacks,
		objects,
		transition,
		locks,
		ops,
		called,
		warnings: [...it.dmesg.warnings],
	};
}

/**
 * All that a livepatch, a module or an ops could leave behind, as plain data: two of them that are equal are the same state of the
 * kernel. Guest text is part of it, byte by byte.
 */
export function kernelState(machine: TestMachine) {
	const { it, klp, ftrace } = machine;
	const { transition } = klp;
	return {
		text: textHashes(machine),
		patches: klp.klp_patches.map(({ name, enabled, forced }) => [name, enabled, forced]),
		sysfs: [...it.klp.sysfs.entries()],
		files: it.files.paths(),
		modules: [...it.modules.values()].map((mod) => [mod.name, mod.refcount, mod.state, mod.klp_alive]),
		func_stacks: [...klp.patching.klp_ops.values()].map((ops) => [
			it.symbolize(ops.old_func),
			[...ops.func_stack].map((func) => [func.new_name, func.nop, func.transition, func.patched]),
		]),
		objects: klp.klp_patches.map((patch) => patch.obj_list.map((obj) => [obj.label, obj.patched, obj.mod?.name])),
		ops: [...ftrace.ftrace_ops_list].map((ops) => [ops.name, ops.flags, [...ops.filter_hash]]),
		structs: ftrace.opsByAddress.size,
		trampolines: ftrace.trampolines.live.size,
		direct: [...ftrace.direct.direct_functions],
		records: [...ftrace.records.values()].map(({ ip, flags, count, current }) => [ip, flags, count, current]),
		transition: [
			transition.klp_transition_patch?.name,
			transition.klp_target_state,
			transition.klp_sched_try_switch_key,
		],
		tasks: [...it.sched.all()].map((task) => [task.comm, task.patch_state, task.pending, task.trace_recursion]),
		locks: [klp.klp_mutex, ftrace.ftrace_lock, ftrace.direct.direct_mutex, it.hotplug.lock].map(({ locked }) => locked),
		// Pages of the heap stay when objects are freed, and the explorer maps the first ones beforehand.
		regions: it.memory.regions.map(({ name }) => name).filter((name) => name !== "heap" && !name.startsWith("stack:")),
	};
}
