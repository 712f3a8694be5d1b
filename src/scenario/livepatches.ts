import { klp_func, klp_object, klp_patch, type klp_patch_fields } from "../linux/klp/index.js";
import type { LoadedModule } from "../linux/module/index.js";
import type { LivepatchSpec } from "./types.js";

/** The klp_patch of a livepatch module that a scenario describes. */
export function patchOf(spec: LivepatchSpec, mod: LoadedModule): klp_patch {
	const objs = spec.objects.map(
		(object) =>
			new klp_object({
				name: object.name === "vmlinux" ? undefined : object.name,
				funcs: object.funcs.map(
					(func) =>
						new klp_func({
							old_name: func.old_name,
							new_name: func.new_func,
							new_func: mod.image.symbol(func.new_func)?.address ?? 0,
							old_sympos: func.sympos,
							replaceable: func.replaceable,
						}),
				),
			}),
	);
	const states = spec.states.map(({ id, version }) => ({ id: BigInt(id), version }));
	return new klp_patch({ mod, objs, states, fields: designFields(spec) });
}

/** The fields of struct klp_patch that the scenario gives: those of the replace designs. */
export function designFields({ replace, replaceable, replace_set }: LivepatchSpec): Partial<klp_patch_fields> {
	return {
		...(replace !== undefined && { replace: Boolean(replace), replace_tag: Number(replace) }),
		...(replaceable !== undefined && { replaceable }),
		...(replace_set !== undefined && { replace_set }),
	};
}
