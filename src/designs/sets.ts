import { type klp_func, type klp_patch, sameFunction } from "../linux/klp/index.js";

/** The functions of `old`, with its nops, that `patch` changes too. Nops of the new patch do not count. */
export function* sharedFunctions(patch: klp_patch, old: klp_patch): Generator<klp_func, void, void> {
	for (const obj of patch.objs) {
		for (const old_obj of old.obj_list) {
			if (obj.name !== old_obj.name) continue;
			const mine = obj.funcs.filter((func) => !func.nop);
			for (const func of old_obj.funcs) if (mine.some((other) => sameFunction(other, func))) yield func;
		}
	}
}

export function sharesFunction(patch: klp_patch, old: klp_patch): boolean {
	return !sharedFunctions(patch, old).next().done;
}
