import { klp_func, klp_object, klp_patch } from "../linux/klp/index.js";
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
							fields: func.fields,
						}),
				),
			}),
	);
	const states = spec.states.map(({ id, version }) => ({ id: BigInt(id), version }));
	return new klp_patch({ mod, objs, states, fields: spec.fields });
}
