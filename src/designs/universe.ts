import {
	bool,
	type Core,
	type Design,
	KLP_TRANSITION_PATCHED,
	KLP_TRANSITION_UNPATCHED,
	type klp_func,
	type klp_ops,
	type klp_patch,
	onStack,
} from "../linux/klp/index.js";
import type { Kernel } from "../linux/lib/index.js";
import { mainline, replace } from "./mainline.js";

const replaceable = bool("replaceable", true, "a later patch with replace replaces this one");

/** The older patches that `patch` replaces. */
function replaced(klp: Core, patch: klp_patch): klp_patch[] {
	const older = klp.klp_patches.slice(0, klp.klp_patches.indexOf(patch));
	return klp.design.replacesOnCompletion(patch) ? older.filter((old) => klp.design.supersedes(patch, old)) : [];
}

/** All funcs whose visibility a transition of `patch` changes. */
function* concerned(patch: klp_patch, older: readonly klp_patch[]): Generator<klp_func, void, void> {
	yield* patch.funcs();
	for (const old of older) yield* old.funcs();
}

/**
 * Petr Mladek's "proper solution" in its simplest form. A transition has an old and a new universe, and patch_state
 * says which one a task is in. While `transition` is set, an entry of func_stack is visible only in the universe
 * `mark`: a new entry in PATCHED, a removed entry in UNPATCHED. The handler takes the first entry that the task sees.
 * So one function may get a new implementation while another one returns to the entry below, and completion drops only
 * entries that no task sees any more. No nops are needed.
 */
export const universe: Design = {
	...mainline,
	name: "universe",
	title: "klpemu's proposal: every func_stack entry is visible in the old universe, the new one, or both",
	source: "klpemu, after Petr Mladek, https://lore.kernel.org/live-patching/Z5eYzcF5JLR4o5Yl@pathway.suse.cz",
	fields: [replace, replaceable],
	foreign: { replace_set: { write: "replace" }, "funcs.replaceable": { write: "replaceable" } },
	initialMark: KLP_TRANSITION_PATCHED,
	attributes: {
		...mainline.attributes,
		replaceable: { show: (patch) => (replaceable.of(patch) ? "1" : "0") },
	},
	addsNops: () => false,
	needsNop: () => false,
	supersedes: (_patch, old) => replaceable.of(old),
	forceMarks: (patch, other) => replace.of(patch) && other !== patch && replaceable.of(other),

	*init_transition(klp, patch, target): Kernel<void> {
		// Every task is already in its initial state, so the entries that it sees do not change here.
		const older = target === KLP_TRANSITION_PATCHED ? replaced(klp, patch) : [];
		for (const old of older) {
			for (const func of old.funcs()) {
				func.mark = KLP_TRANSITION_UNPATCHED;
				func.transition = true;
				yield "klp_init_transition: func->universe";
			}
		}
		for (const func of patch.funcs()) {
			func.mark = KLP_TRANSITION_PATCHED;
			func.transition = true;
			yield "klp_init_transition: func->transition";
		}
	},

	*unpatch_invisible(klp, patch, target): Kernel<void> {
		if (target === KLP_TRANSITION_UNPATCHED) yield* klp.patching.klp_unpatch_objects(patch);
		else if (klp.design.replacesOnCompletion(patch)) yield* klp.klp_unpatch_replaced_patches(patch);
	},

	*clear_transition(klp, patch): Kernel<void> {
		// Completed: removed entries keep their mark. A handler that is still at one must continue to the next entry.
		const reverted = klp.transition.klp_target_state === KLP_TRANSITION_UNPATCHED;
		const older = reverted ? replaced(klp, patch) : [];
		for (const func of concerned(patch, older)) {
			func.transition = false;
			yield "klp_complete_transition: func->transition";
		}
		// Reverted: a handler that saw an older entry in transition must not read KLP_TRANSITION_IDLE afterwards.
		if (older.length > 0) yield* klp.transition.klp_synchronize_transition();
	},

	check_stack(klp, patch, task, entries): string | undefined {
		const target = klp.transition.klp_target_state;
		// Code that is removed must be on no stack, visible or not: after a force, a task may be in code that it does
		// not see any more.
		const going = target === KLP_TRANSITION_UNPATCHED ? [patch] : replaced(klp, patch);
		for (const func of going.flatMap((old) => [...old.funcs()])) {
			if (func.patched && onStack(entries, func.new_func, func.new_size)) return func.old_name;
		}
		const seen = new Set<klp_ops>();
		for (const func of concerned(patch, replaced(klp, patch))) {
			const ops = klp.patching.klp_find_ops(func.old_func);
			if (ops === undefined || seen.has(ops)) continue;
			seen.add(ops);
			const leaves = klp.select(ops, task.patch_state);
			if (leaves === klp.select(ops, target)) continue;
			const [address, size] = leaves ? [leaves.new_func, leaves.new_size] : [func.old_func, func.old_size];
			if (onStack(entries, address, size)) return func.old_name;
			// A task between the function's entry and the end of its trampoline may have chosen an entry already; the
			// stack does not show which one.
			if (onStack(entries, func.old_func, func.old_size)) return func.old_name;
		}
		return undefined;
	},

	sees: (func, patch_state) => func.mark === patch_state,
	looks: Number.POSITIVE_INFINITY,
};
