import { nearest } from "../base/index.js";
import type { WatchedFunction } from "../consistency/index.js";
import { PLACE } from "../explore/index.js";
import { MCOUNT_INSN_SIZE } from "../linux/ftrace/index.js";
import type { klp_patch } from "../linux/klp/index.js";
import type { Machine } from "../machine/index.js";
import type { Kaddr } from "../memory/index.js";
import type { LivepatchSpec } from "./types.js";

/** A function that livepatches of a scenario change, and its place. */
export interface PatchedFunction extends WatchedFunction {
	/** `vmlinux`, or a module. */
	readonly object: string;
	/** Without its object: `funcA`, `funcA#2`. */
	readonly short: string;
}

/** The functions that the scenario's livepatches change, each once, in the order of the file. */
export function watchedFunctions(livepatches: ReadonlyMap<string, LivepatchSpec>, machine: Machine): PatchedFunction[] {
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
	// The name has no object, unless another object has a patched function of the same name.
	const all = [...watched.values()];
	const unique = (short: string) => all.filter((other) => other.short === short).length === 1;
	return all.map(({ short, object, resolve }) => ({
		...{ short, object, resolve },
		name: unique(short) || object === "vmlinux" ? short : `${object}:${short}`,
	}));
}

/** Address and size of a function while its object is loaded. */
function resolver(machine: Machine, object: string, name: string, sympos: number): WatchedFunction["resolve"] {
	const module = object === "vmlinux" ? undefined : object;
	const live = () => module === undefined || machine.modules.get(module)?.live === true;
	return () => (live() ? machine.kallsyms.lookup(module, name)[Math.max(sympos, 1) - 1] : undefined);
}

/**
 * Adds the functions of a patch that a C module enables, unless they are in the list. They get names by the same rule:
 * the object is part of a name only if another object has a function of that name.
 */
export function watchPatch(watched: PatchedFunction[], machine: Machine, patch: klp_patch): void {
	if (patch.address === undefined) return;
	for (const { label, funcs } of patch.objs) {
		for (const { old_name, old_sympos } of funcs) {
			// sympos 0 and 1 are the same function.
			const short = old_sympos > 1 ? `${old_name}#${old_sympos}` : old_name;
			const resolve = resolver(machine, label, old_name, old_sympos);
			addWatched(watched, { short, object: label, resolve });
		}
	}
}

/** A function by object, name and position, as schedules have it: `vmlinux:funcA`, `vmlinux:funcA#2`. */
export function placeOf({ object, short }: PatchedFunction): string {
	return `${object}:${short}`;
}

/** Adds the functions that a schedule names: see {@link placeOf}. */
export function watchPlaces(watched: PatchedFunction[], machine: Machine, places: readonly string[]): void {
	for (const place of places) {
		const { object, short, func, sympos } = PLACE.exec(place)!.groups as Readonly<Record<string, string>>;
		addWatched(watched, {
			...{ object: object!, short: short! },
			resolve: resolver(machine, object!, func!, Number(sympos ?? 0)),
		});
	}
}

/** Adds a function, unless it is in the list. Its name has the object if another object has a function of that name. */
export function addWatched(watched: PatchedFunction[], func: Omit<PatchedFunction, "name">): void {
	const { short, object } = func;
	if (watched.some((other) => other.object === object && other.short === short)) return;
	const name = watched.some((other) => other.name === short) ? `${object}:${short}` : short;
	watched.push({ ...func, name });
}

/**
 * The name in reports of a function that an expectation names with or without its object. `problem`: no function has
 * that name, or several functions have it.
 */
export function nameInReports(
	machine: Machine,
	watched: readonly PatchedFunction[],
	key: string,
): { readonly name: string } | { readonly problem: string } {
	const { object, short, func } = /^((?<object>\w+):)?(?<short>(?<func>[^#]+).*)$/.exec(key)!.groups!;
	const exact = watched.find(({ name }) => name === key);
	if (exact !== undefined) return exact;
	const found = watched.filter((other) => other.short === short && (object ?? other.object) === other.object);
	if (found.length > 1) {
		return { problem: `'${key}' can be each of ${found.map((other) => `${other.object}:${short}`).join(", ")}` };
	}
	if (found[0] !== undefined) return found[0];
	// No livepatch changes it: the name is valid only if such a function exists.
	const { images } = machine.kallsyms;
	const image = images.find(({ name }) => name === object);
	if (image === undefined || image.lookup(func!).length > 0) return { name: key };
	const near = nearest(
		func!,
		image.symbols.map(({ name }) => name),
	);
	const hint = near === undefined ? "" : `: did you mean '${near}'?`;
	return { problem: `'${object}' has no function '${func}'${hint}` };
}

/** Addresses of the bodies of all implementations of a function: behind their call sites. */
export function bodiesOf(machine: Machine, functions: readonly PatchedFunction[], func: string): Kaddr[] {
	const { ftrace, klp } = machine;
	const body = (address: Kaddr) => {
		const site = ftrace.ftrace_location(address);
		return site === 0 ? address : (site + MCOUNT_INSN_SIZE) | 0;
	};
	const stack = functions
		.filter(({ short }) => short === func)
		.flatMap((one) => {
			const there = one.resolve();
			return there === undefined ? [] : [...klp.funcStack(there.address)];
		});
	const everywhere = [undefined, ...machine.modules.keys()];
	const originals = everywhere.flatMap((object) => [...machine.kallsyms.lookup(object, func)]);
	const entries = stack.map((entry) => entry.new_func);
	return [...originals.map(({ address }) => address), ...entries].map(body);
}
