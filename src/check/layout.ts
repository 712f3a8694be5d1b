import type { KernelLayout } from "../linux/klp-c/index.js";

export const CALLBACK_FIELDS = ["pre_patch", "post_patch", "pre_unpatch", "post_unpatch"] as const;
export type CallbackField = (typeof CALLBACK_FIELDS)[number];

/** The offsets and sizes that are needed to read a livepatch. Throws `LAYOUT_MISSING`. */
export function patchLayout(layout: KernelLayout) {
	return {
		patch: {
			mod: layout.offset("klp_patch.mod"),
			objs: layout.offset("klp_patch.objs"),
			states: layout.offset("klp_patch.states"),
			replace: layout.offset("klp_patch.replace"),
		},
		object: {
			name: layout.offset("klp_object.name"),
			funcs: layout.offset("klp_object.funcs"),
			callbacks: layout.offset("klp_object.callbacks"),
			size: layout.size("struct klp_object"),
		},
		func: {
			oldName: layout.offset("klp_func.old_name"),
			newFunc: layout.offset("klp_func.new_func"),
			sympos: layout.offset("klp_func.old_sympos"),
			size: layout.size("struct klp_func"),
		},
		state: {
			id: layout.offset("klp_state.id"),
			version: layout.offset("klp_state.version"),
			size: layout.size("struct klp_state"),
		},
		/** Within struct klp_callbacks. */
		callbacks: CALLBACK_FIELDS.map((field) => ({ field, offset: layout.offset(`klp_callbacks.${field}`) })),
	};
}

export type PatchLayout = ReturnType<typeof patchLayout>;
