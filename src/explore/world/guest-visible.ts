import { Hash } from "../../base/index.js";
import { MCOUNT_INSN_SIZE } from "../../linux/ftrace/index.js";
import type { klp_func } from "../../linux/klp/index.js";
import { type Kaddr, PERM } from "../../memory/index.js";
import type { Model } from "../model.js";
import { entriesOf, entryKey } from "./entries.js";

/** The fentry sites of the functions that livepatches of the scenario change. */
export function watchedSites({ machine, functions }: Model): Set<Kaddr> {
	const sites = functions.flatMap((func) => {
		const there = func.resolve();
		return there === undefined ? [] : [machine.ftrace.ftrace_location(there.address)];
	});
	return new Set(sites);
}

/**
 * A key for all that the way of a task through guest code depends on and that is not in the task: what gates and trampolines
 * read. A task's moves are remembered by it.
 */
export function guestVisible(model: Model): string {
	const { machine, control } = model;
	const { transition, patching } = machine.klp;
	const parts: unknown[] = [control.mayFallAsleep, transition.klp_target_state, transition.klp_sched_try_switch_key];
	// cond_resched() looks at the whole patch.
	if (transition.klp_sched_try_switch_key) parts.push(transition.klp_transition_patch?.name);
	const names = new Map<klp_func, string>();
	for (const [id, func] of entriesOf(machine)) names.set(func, entryKey(id));
	const nameOf = (func: klp_func | undefined) => (func === undefined ? "-" : (names.get(func) ?? "gone"));
	for (const [func, name] of names) {
		parts.push(name, func.transition, func.universe, func.freed, nameOf(func.stack_node.next.owner));
	}
	for (const [old, ops] of patching.klp_ops) parts.push(old, nameOf(ops.func_stack.next.owner));
	for (const [address, ops] of machine.ftrace.opsByAddress) parts.push(address, ops.name);
	for (const site of watchedSites(model)) parts.push(site, machine.memory.read(site, MCOUNT_INSN_SIZE).join());
	for (const { address, text } of machine.text_poke.bp_desc) parts.push(address, text.join());
	for (const { address, perm } of machine.memory.regions) if (perm & PERM.EXEC) parts.push(address);
	const hash = new Hash();
	for (const part of parts) hash.add(String(part));
	return hash.digest();
}
