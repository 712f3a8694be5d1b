import { KlpemuError } from "../base/index.js";
import { type DesignKeys, type FieldValues, refusalOf } from "../linux/klp/index.js";
import type { Scenario } from "./scenario.js";
import { type LivepatchSpec, whereOf } from "./types.js";

/**
 * The livepatches of a scenario under one design: the keys of the design's section of `designs`, if there is one, replace the keys
 * beside it. Throws `SCENARIO_FOREIGN_KEY` for a key that the design does not support: the design would silently use a default.
 */
export function livepatchesUnder(scenario: Scenario, design: DesignKeys): ReadonlyMap<string, LivepatchSpec> {
	const under = [...scenario.livepatches.values()].map((spec) => {
		const resolved = resolve(spec, design.name);
		check(resolved, design, scenario.fileName);
		return resolved;
	});
	return new Map(under.map((spec) => [spec.name, spec]));
}

function resolve(spec: LivepatchSpec, design: string): LivepatchSpec {
	const section = spec.designs.get(design);
	if (section === undefined) return spec;
	const objects = spec.objects.map((object) => ({
		...object,
		funcs: object.funcs.map((func) => ({ ...func, fields: section.funcs.get(func.old_name) ?? {} })),
	}));
	return { ...spec, fields: section.fields, objects };
}

function check(spec: LivepatchSpec, design: DesignKeys, fileName: string): void {
	const funcs = spec.objects.flatMap((object) => object.funcs);
	const ofFuncs = (key: string) => funcs.length > 0 && funcs.every(({ fields }) => key.slice(FUNCS.length) in fields);
	const given = (key: string) => (key.startsWith(FUNCS) ? ofFuncs(key) : key in spec.fields);
	const refuse = (fields: FieldValues, prefix: string) => {
		for (const [key, value] of Object.entries(fields)) {
			const refusal = refusalOf(design, `${prefix}${key}`, value, given);
			if (refusal === undefined) continue;
			throw new KlpemuError("SCENARIO_FOREIGN_KEY", `livepatch '${spec.name}': ${refusal.message}`, {
				where: whereOf(fileName, spec.position),
				hint: refusal.hint,
			});
		}
	};
	refuse(spec.fields, "");
	for (const { fields } of funcs) refuse(fields, FUNCS);
}

const FUNCS = "funcs.";
