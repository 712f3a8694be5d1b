import type { WatchedFunction } from "../consistency/index.js";
import { MCOUNT_INSN_SIZE } from "../linux/ftrace/index.js";
import type { klp_patch } from "../linux/klp/index.js";
import type { Machine } from "../machine/index.js";
import type { Kaddr } from "../memory/index.js";
import type { LivepatchSpec } from "./types.js";

/** The functions that the scenario's livepatches change, each once, in the order of the file. */
export function watchedFunctions(livepatches: ReadonlyMap<string, LivepatchSpec>, machine: Machine): WatchedFunction[] {
	const watched = new Map<string, { short: string; object: string; resolve: WatchedFunction["resolve"] }>();
	for (const { objects } of livepatches.values()) {
		for (const object of objects) {
			for (const { old_name, sympos } of object.funcs) {
				const short = sympos > 1 ? `${old_name}#${sympos}` : old_name;
				const resolve = resolver(machine, object.name, old_name, sympos);
				watched.set(`${object.name}:${short}`, { short, object: object.name, resolve });
			}
		}
	}
	// A function is called by its name alone where no other object has one that is patched too.
	const all = [...watched.values()];
	const unique = (short: string) => all.filter((other) => other.short === short).length === 1;
	return all.map(({ short, object, resolve }) => ({
		name: unique(short) || object === "vmlinux" ? short : `${object}:${short}`,
		resolve,
	}));
}

/** Where a function is, as long as its object is there. */
function resolver(machine: Machine, object: string, name: string, sympos: number): WatchedFunction["resolve"] {
	const module = object === "vmlinux" ? undefined : object;
	const live = () => module === undefined || machine.modules.get(module)?.live === true;
	return () => (live() ? machine.kallsyms.lookup(module, name)[Math.max(sympos, 1) - 1] : undefined);
}

/** Adds the functions of a patch that a C module enables, unless the scenario has them already. */
export function watchPatch(watched: WatchedFunction[], machine: Machine, patch: klp_patch): void {
	if (patch.address === undefined) return;
	for (const { label, funcs } of patch.objs) {
		for (const { old_name, old_sympos } of funcs) {
			const short = old_sympos > 1 ? `${old_name}#${old_sympos}` : old_name;
			const name = label === "vmlinux" ? short : `${label}:${short}`;
			if (watched.some((other) => other.name === name || other.name === short)) continue;
			watched.push({ name, resolve: resolver(machine, label, old_name, old_sympos) });
		}
	}
}

/** Where the bodies of all implementations of a function begin: behind their call sites. */
export function bodiesOf(machine: Machine, functions: readonly WatchedFunction[], func: string): Kaddr[] {
	const { ftrace, klp } = machine;
	const body = (address: Kaddr) => {
		const site = ftrace.ftrace_location(address);
		return site === 0 ? address : (site + MCOUNT_INSN_SIZE) | 0;
	};
	const there = functions.find(({ name }) => name === func)?.resolve();
	const stack = there === undefined ? [] : klp.funcStack(there.address);
	const everywhere = [undefined, ...machine.modules.keys()];
	const originals = everywhere.flatMap((object) => [...machine.kallsyms.lookup(object, func)]);
	const entries = stack.map((entry) => entry.new_func);
	return [...originals.map(({ address }) => address), ...entries].map(body);
}
