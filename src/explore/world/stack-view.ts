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
	return entries.flatMap((entry) => visible(model, entry) ?? []).join();
}

function visible({ machine, functions }: Model, entry: Kaddr): string | undefined {
	const trampoline = machine.ftrace.trampolines.containing(entry);
	if (trampoline !== undefined) return `t${trampoline.address}`;
	for (const mod of machine.modules.values()) {
		if (!mod.image.contains(entry)) continue;
		const hit = mod.image.symbolAt(entry);
		return hit === undefined ? `m${mod.image.base}` : `f${hit.symbol.address}`;
	}
	for (const func of functions) {
		const there = func.resolve();
		if (there !== undefined && entry >= there.address && entry < there.address + there.size) return `f${there.address}`;
	}
	return undefined;
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
