import { functionsInside } from "../../consistency/index.js";
import { LAYOUT, type Machine } from "../../machine/index.js";
import type { Kaddr } from "../../memory/index.js";
import type { Model } from "../model.js";

/** Addresses: `[start, end)`. */
export interface CodeRange {
	readonly start: Kaddr;
	readonly end: Kaddr;
}

/**
 * The part of a stack that kernel code can see: the implementations, trampolines and modules that the task is in. A
 * change of it ends a move of a task; kernel code cannot see anything between two changes.
 */
export function stackView(model: Model, entries: readonly Kaddr[] | undefined): string {
	if (entries === undefined) return "?";
	const functions = functionsInside(model.machine, entries);
	return entries.flatMap((entry, index) => visible(model, entry, functions[index]!)).join();
}

/**
 * The symbol that an entry lies in, if the judge or klp_check_stack_func() can ask for it. A piece of a function is another symbol
 * than the function: the kernel tells them apart.
 */
function visible({ machine, functions }: Model, entry: Kaddr, inside: readonly Kaddr[]): string[] {
	const trampoline = machine.ftrace.trampolines.containing(entry);
	if (trampoline !== undefined) return [`t${trampoline.address}`];
	const module = [...machine.modules.values()].find(({ image }) => image.contains(entry));
	const hit = machine.kallsyms.kallsyms_lookup_size_offset(entry);
	const symbol = hit === undefined ? `m${module?.image.base}` : `f${(entry - hit.offset) | 0}`;
	const watched = (address: Kaddr) => functions.some((func) => func.resolve()?.address === address);
	return module !== undefined || inside.some(watched) ? [symbol] : [];
}

/** Code around `ip` in which no frame of the stack changes: while a task stays in it, its {@link stackView} is the same. */
export function sameFrames(machine: Machine, ip: Kaddr): CodeRange {
	const symbol = machine.kallsyms.kallsyms_lookup_size_offset(ip);
	if (symbol !== undefined) return { start: (ip - symbol.offset) | 0, end: (ip - symbol.offset + symbol.size) | 0 };
	if (ip >= LAYOUT.entry && ip < LAYOUT.ftrace) return { start: LAYOUT.entry, end: LAYOUT.ftrace };
	// A trampoline changes the return address below it.
	return { start: 0, end: 0 };
}

/** Place of a task, for reports. `passed`: it has just passed a call site. */
export function whereabouts(machine: Machine, ip: Kaddr, passed: boolean): string {
	const name = machine.symbolize(ip);
	if (passed) return `is in the body of ${functionOf(name)}`;
	if (machine.ftrace.trampolines.containing(ip) !== undefined) return `is on ${functionOf(name)}`;
	return name.endsWith("+0x0") ? `enters ${functionOf(name)}` : `returns to ${functionOf(name)}`;
}

/** `funcA` of `funcA+0x4`. */
export function functionOf(symbol: string): string {
	return symbol.replace(/\+.*/, "");
}
