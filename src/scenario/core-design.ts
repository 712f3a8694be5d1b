import { KlpemuError } from "../base/index.js";
import { designs, findDesign } from "../designs/index.js";
import type { Design, Field } from "../linux/klp/index.js";
import { type KernelCore, parseKernelCore } from "../linux/klp-c/index.js";
import type { Scenario } from "./scenario.js";
import { findSource } from "./source.js";
import { type FileReader, whereOf } from "./types.js";

/** The core that the scenario names; undefined: none. Throws `SCENARIO_CORE` if it is to run under a design, too. */
export async function coreOf(
	scenario: Scenario,
	{ design, host }: { readonly design?: string | Design | undefined; readonly host: { readonly files: FileReader } },
): Promise<KernelCore | undefined> {
	const { core } = scenario;
	if (core === undefined) return undefined;
	const where = whereOf(scenario.fileName, core.position);
	if (design !== undefined) {
		throw new KlpemuError("SCENARIO_CORE", "the scenario's core and a design exclude each other", {
			where,
			hint: "the C of a kernel core has its own rules for replacing livepatches; leave out `core` or --design",
		});
	}
	const path = await findSource(scenario, host.files, core);
	const bytes = await host.files.read(path);
	if (bytes === undefined) throw new KlpemuError("FILE_UNREADABLE", `cannot read '${path}'`, { where });
	return parseKernelCore(bytes, path);
}

/** The options, with the core that the scenario names if they have none: it is read once. Throws what {@link coreOf} throws. */
export async function withCore<T extends Parameters<typeof coreOf>[1] & { readonly core?: KernelCore | undefined }>(
	scenario: Scenario,
	options: T,
): Promise<T> {
	return { ...options, core: options.core ?? (await coreOf(scenario, options)) };
}

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
		funcFields: added([], "klp_func", ({ funcFields = [] }) => funcFields),
	};
}
