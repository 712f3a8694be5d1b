import type { klp_func, klp_object, klp_patch } from "../klp/index.js";

/** Objects are the same when both are vmlinux or both name the same module. */
export function sameObject(a: klp_object, b: klp_object): boolean {
	return a.name === b.name;
}

/** Functions are the same by name and position; position 0 says "the only one" and equals 1. */
export function sameFunction(a: klp_func, b: klp_func): boolean {
	return a.old_name === b.old_name && (a.old_sympos || 1) === (b.old_sympos || 1);
}

/** The functions of `old`, nops included, that `patch` changes too: the new patch's own, without nops it has been given. */
export function* sharedFunctions(patch: klp_patch, old: klp_patch): Generator<klp_func, void, void> {
	for (const obj of patch.objs) {
		for (const old_obj of old.obj_list) {
			if (!sameObject(obj, old_obj)) continue;
			const mine = obj.funcs.filter((func) => !func.nop);
			for (const func of old_obj.funcs) if (mine.some((other) => sameFunction(other, func))) yield func;
		}
	}
}

export function sharesFunction(patch: klp_patch, old: klp_patch): boolean {
	return !sharedFunctions(patch, old).next().done;
}
