import type { klp_func, klp_patch } from "../../linux/klp/index.js";
import type { Machine } from "../../machine/index.js";

/**
 * Which klp_func a handler is at. The object itself will not do: after a replay it may be another. What says the same of both is
 * the same function.
 */
export interface EntryId {
	readonly patch: string;
	/** Index of the klp_object in its patch. */
	readonly object: number;
	readonly old_name: string;
	readonly old_sympos: number;
	/** Address of new_func; undefined: it is a nop. */
	readonly new_func: number | undefined;
}

function entryId(patch: klp_patch, object: number, func: klp_func): EntryId {
	const { old_name, old_sympos, nop, new_func } = func;
	return { patch: patch.name, object, old_name, old_sympos, new_func: nop ? undefined : new_func };
}

/** As a part of a state's key. */
export function entryKey({ patch, object, old_name, old_sympos, new_func }: EntryId): string {
	return `${patch}@${new_func ?? "nop"}/${object}/${old_name},${old_sympos}`;
}

/** For people. */
export function describeEntry({ patch, old_name, new_func }: EntryId): string {
	return new_func === undefined ? `the nop of ${patch} for ${old_name}` : `that of ${patch} for ${old_name}`;
}

/** All klp_funcs of modules that are loaded. A patch whose module is gone is gone with it. */
export function* entriesOf(machine: Machine): Generator<readonly [EntryId, klp_func]> {
	const { modules, klp } = machine;
	for (const patch of klp.sysfs.all) {
		if (modules.get(patch.mod.name) !== patch.mod) continue;
		for (const [object, { funcs }] of patch.obj_list.entries()) {
			for (const func of funcs) yield [entryId(patch, object, func), func];
		}
	}
}

/** Undefined: the klp_func is of no module that is loaded. */
export function idOf(machine: Machine, func: klp_func): EntryId | undefined {
	for (const [id, entry] of entriesOf(machine)) if (entry === func) return id;
	return undefined;
}

export function findEntry(machine: Machine, wanted: EntryId): klp_func | undefined {
	const key = entryKey(wanted);
	for (const [id, entry] of entriesOf(machine)) if (entryKey(id) === key) return entry;
	return undefined;
}
