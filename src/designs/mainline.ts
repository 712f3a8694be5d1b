import {
	bool,
	type Core,
	type Design,
	KLP_TRANSITION_UNPATCHED,
	type klp_func,
	type klp_patch,
} from "../linux/klp/index.js";
import { EINVAL, type Kernel } from "../linux/lib/index.js";

/** For the handler: an imported name costs it a check, see hotHandler(). */
const UNPATCHED = KLP_TRANSITION_UNPATCHED;

/**
 * klp_is_patch_compatible() of 6.12: each state of each installed patch must be known to a cumulative patch, and no version may
 * go back.
 */
export function statesCompatible(klp: Core, patch: klp_patch, mayLack: (old: klp_patch) => boolean): number {
	for (const old of klp.klp_patches) {
		for (const state of old.states) {
			const mine = patch.states.find((candidate) => candidate.id === state.id);
			if (mine === undefined ? !mayLack(old) : mine.version < state.version) return -EINVAL;
		}
	}
	return 0;
}

export const replace = bool("replace", false, "atomic replace: all older patches go when this one is complete");

/**
 * Linux 6.12, kernel/livepatch. The base of the other designs: they take unchanged members from here.
 */
export const mainline: Design = {
	name: "mainline",
	title: "Linux 6.12: atomic replace of everything, or stacking",
	source: "kernel/livepatch of Linux 6.12",
	fields: [replace],
	foreign: {
		replaceable: { unread: "with `replace` a patch takes the place of all others, whatever they say" },
		"funcs.replaceable": { unread: "with `replace` a patch takes the place of all others, whatever they say" },
		replace_set: { write: "replace" },
	},
	attributes: { replace: { show: (patch) => (replace.of(patch) ? "1" : "0") } },

	isCompatible: (klp, patch) => statesCompatible(klp, patch, () => !replace.of(patch)),
	addsNops: (patch) => replace.of(patch),
	needsNop: () => true,
	replacesOnCompletion: (patch) => replace.of(patch),
	supersedes: () => true,
	forceMarks: (patch, other) => replace.of(patch) && other !== patch,

	*init_transition(_klp, patch): Kernel<void> {
		for (const func of patch.funcs()) {
			func.transition = true;
			yield "klp_init_transition: func->transition";
		}
	},

	*unpatch_invisible(klp, patch, target): Kernel<void> {
		if (target === KLP_TRANSITION_UNPATCHED) yield* klp.patching.klp_unpatch_objects(patch);
		else if (klp.design.replacesOnCompletion(patch)) {
			yield* klp.klp_unpatch_replaced_patches(patch);
			yield* klp.klp_discard_nops(patch);
		}
	},

	*clear_transition(_klp, patch): Kernel<void> {
		for (const func of patch.funcs()) {
			func.transition = false;
			yield "klp_complete_transition: func->transition";
		}
	},

	check_stack(klp, patch, _task, entries): string | undefined {
		for (const obj of patch.obj_list) {
			if (!obj.patched) continue;
			for (const func of obj.funcs) {
				if (klp.transition.klp_check_stack_func(func, entries)) return func.old_name;
			}
		}
		return undefined;
	},

	sees: (_func, patch_state) => patch_state !== UNPATCHED,
	looks: 1,

	promise(enabled, old_func): klp_func | undefined {
		for (const { obj_list } of [...enabled].reverse()) {
			for (const { funcs } of obj_list) {
				const func = funcs.find((candidate) => candidate.old_func === old_func && !candidate.nop);
				if (func !== undefined) return func;
			}
		}
		return undefined;
	},
};
