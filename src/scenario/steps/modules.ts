import * as v from "valibot";
import { designs } from "../../designs/index.js";
import type { ElfObject } from "../../elf/index.js";
import type { FieldValues } from "../../linux/klp/index.js";
import type { Machine } from "../../machine/index.js";
import { patchOf } from "../livepatches.js";
import { expected, fileText, koFile, moduleName, scalar, taskNames } from "../values.js";
import { type StepWorld, step } from "./step.js";
import { insmodStrerror } from "./strerror.js";

/** The value of a module parameter: its text, or the tasks whose pids are the value. */
export type ParamValue = string | { readonly pids: readonly string[] };

const param = v.union([
	...scalar.options,
	v.pipe(
		v.strictObject({ pids: taskNames }),
		expected("{ pids: TASK }"),
		v.description("the pids of these tasks, with commas between"),
	),
]);

/** Module parameters as insmod's command line has them. */
function paramTexts(params: ReadonlyMap<string, ParamValue>, { tasks }: StepWorld): Map<string, string> {
	const textOf = (value: ParamValue) =>
		typeof value === "string" ? value : value.pids.map((name) => tasks.get(name).pid).join(",");
	return new Map([...params].map(([name, value]) => [name, textOf(value)]));
}

function assignments(params: ReadonlyMap<string, string>): string[] {
	return [...params].map(([name, value]) => `${name}=${value}`);
}

/**
 * A parameter with the name of a field that the design adds to struct klp_patch decides that field, as C code that copies it there would
 * in a kernel whose struct has the field. `replace` is in the struct of mainline: the module's own code decides it.
 */
function decidedBy(params: ReadonlyMap<string, string>, { klp }: Machine): FieldValues {
	const values: Record<string, boolean | number> = {};
	if (params.size === 0) return values;
	for (const { name, type } of designs.find((other) => other.name === klp.design.name)?.fields ?? []) {
		const text = params.get(name);
		if (text === undefined || name === "replace") continue;
		values[name] = type === "bool" ? /^([1yt]|on)/i.test(text) : Number(text);
	}
	return values;
}

/** Without those parameters that decide a field and that the module itself does not have. */
function ownParams(
	params: ReadonlyMap<string, string>,
	objects: readonly ElfObject[],
	fields: FieldValues,
): ReadonlyMap<string, string> {
	const has = (name: string) => objects.some(({ symbols }) => symbols.some((one) => one.name === `__param_${name}`));
	return new Map([...params].filter(([name]) => !(name in fields) || has(name)));
}

export const insmod = step("insmod", {
	value: v.union([
		moduleName,
		koFile,
		v.strictObject({
			module: v.union([moduleName, koFile]),
			params: v.optional(v.record(v.pipe(v.string(), v.regex(/^[\w-]+$/)), param)),
		}),
	]),
	doc: {
		form: ["insmod: lp1", "insmod: lp1.ko", "insmod: { module, params }"],
		does: "loads a module, which may be named by its `.ko`; this enables a livepatch",
	},
	hasErrno: true,
	races: true,
	read(raw, place) {
		if (typeof raw === "string") return { module: place.insmod(raw), params: new Map<string, ParamValue>() };
		const params = Object.entries(raw.params ?? {}).map(([name, value]): [string, ParamValue] => {
			if (typeof value !== "object") return [name, fileText(value)];
			return [name, { pids: place.at("params", name, "pids").tasks(value.pids) }];
		});
		return { module: place.at("module").insmod(raw.module), params: new Map(params) };
	},
	title({ module, params }) {
		const textOf = (value: ParamValue) => (typeof value === "string" ? value : `pids of ${value.pids.join(", ")}`);
		return ["insmod", module, ...[...params].map(([name, value]) => `${name}=${textOf(value)}`)].join(" ");
	},
	logsBefore({ module, params }, world) {
		return [`% insmod test_modules/${module}.ko`, ...assignments(paramTexts(params, world))].join(" ");
	},
	logsAfter({ module }, errno) {
		if (errno === 0) return undefined;
		return `insmod: ERROR: could not insert module test_modules/${module}.ko: ${insmodStrerror(errno)}`;
	},
	*run({ module, params }, world) {
		const { machine, livepatches, objects } = world;
		const spec = livepatches.get(module);
		const texts = paramTexts(params, world);
		const parts = objects.get(module) ?? [];
		if (spec === undefined) return yield* machine.loader.load_module(module, parts, { params: texts });
		const fields = { ...spec.fields, ...decidedBy(texts, machine) };
		const options = { params: ownParams(texts, parts, fields) };
		if (spec.objects.length === 0) {
			return yield* machine.loader.load_module(module, parts, { ...options, fields });
		}
		const patched = { ...spec, fields };
		return yield* machine.loader.load_module(module, parts, { ...options, patchOf: (mod) => patchOf(patched, mod) });
	},
});

export const rmmod = step("rmmod", {
	value: moduleName,
	doc: { form: ["rmmod: lp1"], does: "unloads a module" },
	hasErrno: true,
	races: true,
	read: (raw, place) => ({ module: place.module(raw) }),
	title: ({ module }) => `rmmod ${module}`,
	logsBefore: ({ module }) => `% rmmod ${module}`,
	run: ({ module }, { machine }) => machine.loader.delete_module(module),
});
