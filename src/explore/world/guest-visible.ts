import { Hash } from "../../base/index.js";
import { type Kaddr, PERM } from "../../memory/index.js";
import type { Model } from "../model.js";

/** The fentry sites of the functions that livepatches of the scenario change. */
export function watchedSites({ machine, functions }: Model): Set<Kaddr> {
	const sites = functions.flatMap((func) => {
		const there = func.resolve();
		return there === undefined ? [] : [machine.ftrace.ftrace_location(there.address)];
	});
	return new Set(sites);
}

/**
 * A key for all state outside of a task on which the task's way through guest code depends: the state that gates and
 * trampolines read. The memo stores a task's moves by this key.
 */
export function guestVisible(model: Model): string {
	const { machine, control } = model;
	const parts: unknown[] = [
		control.mayFallAsleep,
		...machine.klp.handlerKey(),
		...machine.ftrace.callKey(),
		...machine.tracer.graphKey(),
	];
	for (const { address, text } of machine.text_poke.bp_desc) parts.push(address, text.join());
	for (const { address, perm } of machine.memory.regions) if (perm & PERM.EXEC) parts.push(address);
	const hash = new Hash();
	for (const part of parts) hash.add(String(part));
	return hash.digest();
}

/**
 * A key for what {@link guestVisible} takes for given, because it is the same in all states of one machine: the code itself and its
 * constants, and the functions at which moves end.
 */
export function guestConstants(model: Model): string {
	const { memory } = model.machine;
	const hash = new Hash();
	for (const { name, address, length, perm, offset } of memory.regions) {
		if ((perm & PERM.WRITE) !== 0) continue;
		hash.add(`${name} ${address} ${length} ${perm}`);
		for (let at = offset; at < offset + length; at += 4) hash.addInt(memory.view.getInt32(at, true));
	}
	for (const { name } of model.functions) hash.add(name);
	hash.add([...watchedSites(model)].join());
	return hash.digest();
}
