import { designs, findDesign } from "../designs/index.js";
import type { Design, Field } from "../linux/klp/index.js";
import type { KernelCore } from "../linux/klp-c/index.js";

/**
 * The design under which a compiled core runs: mainline's rules and name, or, if the core was built with patches, mainline with these
 * patches. Such a core has other rules, which a scenario says nothing about; keys of a livepatch that its structs have are its own.
 */
export function designOfCore({ info, layout }: KernelCore): Design {
	const mainline = findDesign("mainline");
	if (info.patches.length === 0) return mainline;
	const added = (own: readonly Field[], struct: string, of: (design: Design) => readonly Field[]) => {
		const known = designs.flatMap(of).filter(({ name }) => layout.has(`${struct}.${name}`));
		const names = new Set(own.map(({ name }) => name));
		return [...own, ...known.filter(({ name }) => !names.has(name) && names.add(name))];
	};
	return {
		...mainline,
		name: `mainline with ${info.patches.map(({ name }) => name).join(", ")}`,
		fields: added(mainline.fields, "klp_patch", ({ fields }) => fields),
		funcFields: added([], "klp_func", ({ funcFields }) => funcFields ?? []),
	};
}
